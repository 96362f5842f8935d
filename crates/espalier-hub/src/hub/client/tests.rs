//! Servers with bad redirects, endless answers, or no answer.

use super::*;
use crate::hub::fake::{LONG, Reply, SHORT, Server, Then};
use std::io::Read;

fn client(server: &Server, timeouts: Timeouts) -> Client {
    Client::new(Url::parse(&server.address).unwrap(), Some("secret".into()), timeouts)
}

fn text(server: &Server) -> Result<String, String> {
    client(server, LONG).text("/x", 1000).map_err(|error| error.to_string())
}

#[test]
fn only_the_hub_gets_the_token() {
    let other = Server::start(|_| Reply::text("theirs"));
    let (away, port) = (format!("{}/f", other.address), other.address.clone());
    let hub = Server::start(move |request| match request.path.as_str() {
        "/x" => Reply::redirect("/moved"),
        _ => Reply::redirect(&away),
    });
    assert_eq!(text(&hub).unwrap(), "theirs");
    let seen: Vec<_> =
        hub.requests().iter().map(|r| r.header("authorization").map(String::from)).collect();
    assert_eq!(seen, [Some("Bearer secret".to_string()), Some("Bearer secret".to_string())]);
    let requests = other.requests();
    assert_eq!(requests.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/f"], "{port}");
    assert_eq!(requests[0].header("authorization"), None);
    // The host is the other server. Compressed answers would not match their ranges.
    assert_eq!(requests[0].header("host"), port.strip_prefix("http://"));
    assert_eq!(requests[0].header("accept-encoding"), None);
}

#[test]
fn redirects_end() {
    let hub = Server::start(|_| Reply::redirect("/x"));
    assert!(text(&hub).unwrap_err().contains("more than 5 redirects"));
    assert_eq!(hub.requests().len(), 1 + MAX_REDIRECTS);
}

#[test]
fn redirects_to_refused_urls_are_not_followed() {
    for location in [
        "http://cdn.example/f",
        "file:///etc/passwd",
        "//cdn.example/f",
        "https://me:pw@cdn.example",
        "",
    ] {
        let hub = Server::start(move |_| Reply::redirect(location));
        let error = text(&hub).unwrap_err();
        assert!(
            error.contains(&format!("the redirect of {} is not followed", hub.address)),
            "{error}"
        );
        assert!(!error.contains("me:pw"), "{error}");
        assert_eq!(hub.requests().len(), 1);
    }
}

#[test]
fn an_endless_answer_is_cut_off() {
    for headers in [vec![], vec!["Content-Length: 99999999999".to_string()]] {
        let flood = move |_: &_| Reply {
            headers: headers.clone(),
            then: Then::Flood,
            ..Reply::bare("200 OK")
        };
        let error = text(&Server::start(flood)).unwrap_err();
        assert!(error.contains("larger than") && error.contains("1000"), "{error}");
    }
}

#[test]
fn a_silent_server_times_out() {
    let mute =
        Server::start(|_| Reply { headers: vec![], then: Then::Silence, ..Reply::text("begun") });
    let timeouts = Timeouts { total: LONG.total, ..SHORT };
    let mut answer = client(&mute, timeouts).file("/x", 0).unwrap();
    let error = answer.body_mut().as_reader().read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(interrupted(error).to_string(), "the answer broke off: no answer in time");
    let timeouts = Timeouts { idle: LONG.idle, ..SHORT };
    let error = client(&mute, timeouts).text("/x", 1000).unwrap_err().to_string();
    assert!(error.contains("no answer in time"), "{error}");
    // A server that accepts the request and sends nothing at all.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("http://{}", deaf.local_addr().unwrap())).unwrap();
    let error = Client::new(url, None, SHORT).file("/x", 0).unwrap_err().to_string();
    assert!(error.contains("cannot be reached: no answer in time"), "{error}");
}

#[test]
fn an_error_status_is_explained() {
    for status in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "500 Words of the server"]
    {
        let error = text(&Server::start(|_| Reply::bare(status))).unwrap_err();
        assert!(error.contains(&status[..3]) && error.contains("no such model"), "{error}");
        assert!(!error.contains("Words"), "{error}");
    }
}
