//! URLs that may be requested: https, and plain http on this machine only.

use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// Why a URL is refused.
type Reason = String;

/// A validated URL. [`Display`](fmt::Display) shows only its server, because the rest may hold a
/// password or a signature.
#[derive(Clone)]
pub struct Url(Uri);

impl Url {
    /// Validates `text`. The reason of a refusal does not repeat it.
    pub fn parse(text: &str) -> Result<Self, Reason> {
        let uri: Uri = text.parse().map_err(|_| "it is not a URL")?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no server")?;
        match uri.scheme_str() {
            Some("https") => Ok(Self(uri)),
            Some("http") if is_loopback(host) => Ok(Self(uri)),
            Some("http") => Err(format!(
                "plain http is refused, except to this machine (127.0.0.1); use https for {host}"
            )),
            _ => Err("it is not an https URL".into()),
        }
    }

    /// The URL of `path`, which begins with a slash, below this one.
    pub fn below(&self, path: &str) -> Result<Self, Reason> {
        self.on_this_server(&format!("{}{path}", self.0.path().trim_end_matches('/')))
    }

    /// The target of a redirect that this URL answers with: `location` is a complete URL or a path
    /// on the same server.
    pub fn redirected(&self, location: &str) -> Result<Self, Reason> {
        if location.starts_with('/') && !location.starts_with("//") {
            return self.on_this_server(location);
        }
        let target = Self::parse(location)?;
        if target.is_plain() && !self.is_plain() {
            return Err("it leads from https to plain http".into());
        }
        if target.authority().contains('@') {
            return Err("it holds a user name".into());
        }
        Ok(target)
    }

    /// Whether both are on the same server: scheme, host name and port.
    pub fn same_server(&self, other: &Self) -> bool {
        self.to_string().eq_ignore_ascii_case(&other.to_string())
    }

    /// Whether it is plain http, and therefore on this machine.
    pub fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http")
    }

    /// The complete URL, for the client.
    pub fn uri(&self) -> &Uri {
        &self.0
    }

    fn on_this_server(&self, path: &str) -> Result<Self, Reason> {
        let scheme = self.0.scheme_str().unwrap_or_default();
        Self::parse(&format!("{scheme}://{}{path}", self.authority()))
    }

    fn authority(&self) -> &str {
        self.0.authority().map_or("", |authority| authority.as_str())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}",
            self.0.scheme_str().unwrap_or_default(),
            self.0.host().unwrap_or_default()
        )?;
        match self.0.port_u16() {
            None => Ok(()),
            Some(port) if port == if self.is_plain() { 80 } else { 443 } => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn error(text: &str) -> String {
        Url::parse(text).map(|url| url.to_string()).expect_err(text)
    }

    #[test]
    fn https_is_accepted_and_http_only_on_this_machine() {
        for text in [
            "https://huggingface.co",
            "https://m.example:8443/hf",
            "http://127.0.0.1:80",
            "http://[::1]:9/x",
        ] {
            url(text);
        }
        url("http://localhost:8080");
        for text in [
            "http://huggingface.co",
            "http://10.0.0.1",
            "http://127.0.0.1@evil.example",
            "http://localhost.evil.example",
        ] {
            assert!(error(text).contains("plain http is refused"), "{text}");
        }
        for text in [
            "",
            "huggingface.co",
            "/x",
            "file:///etc/passwd",
            "ftp://a/b",
            "https://",
            "https:///x",
            "https://a b",
            "https://a\x1b[2J",
        ] {
            error(text);
        }
    }

    #[test]
    fn urls_below_keep_the_path_and_the_user_of_a_mirror() {
        assert_eq!(
            url("https://m.example/hf/").below("/a?b=c").unwrap().uri().to_string(),
            "https://m.example/hf/a?b=c"
        );
        let secret = url("https://me:secret@m.example:444/hf?key=secret");
        assert_eq!(
            secret.below("/a").unwrap().uri().authority().unwrap().as_str(),
            "me:secret@m.example:444"
        );
        assert_eq!(secret.to_string(), "https://m.example:444");
        assert!(!error("http://me:secret@m.example").contains("secret"));
    }

    #[test]
    fn redirects_stay_on_https() {
        let hub = url("https://huggingface.co/api/models/x");
        let to = |location: &str| hub.redirected(location).map(|url| url.uri().to_string());
        assert_eq!(
            to("/api/models/o/x?blobs=true").unwrap(),
            "https://huggingface.co/api/models/o/x?blobs=true"
        );
        assert_eq!(to("https://cdn.example/f?sig=1").unwrap(), "https://cdn.example/f?sig=1");
        for bad in [
            "http://cdn.example/f",
            "http://127.0.0.1/f",
            "//cdn.example/f",
            "f",
            "",
            "https://u:p@cdn.example/f",
        ] {
            assert!(to(bad).is_err(), "{bad}");
        }
        let here = url("http://127.0.0.1:1/x");
        assert!(here.redirected("http://127.0.0.1:2/y").is_ok());
        assert!(here.redirected("http://cdn.example/y").is_err());
    }

    #[test]
    fn a_server_is_scheme_name_and_port() {
        let hub = url("https://huggingface.co/a");
        assert!(hub.same_server(&url("https://user@HuggingFace.co:443/b?c")));
        for other in [
            "https://huggingface.co:444",
            "https://cdn.huggingface.co",
            "https://huggingface.co.evil.example",
        ] {
            assert!(!hub.same_server(&url(other)), "{other}");
        }
        assert!(!url("http://localhost:443").same_server(&url("https://localhost")));
    }
}
