//! Questions to the hub over HTTP: who is asked, who gets to see the token, how long an answer may
//! take.

use super::url::Url;
use anyhow::{Context, Error, Result, anyhow, bail};
use std::io;
use std::time::{Duration, Instant};
use ureq::http::header::{AUTHORIZATION, LOCATION, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Proxy};

/// The hub sends those who ask for a file to another server, and those who use a model's old name
/// to the new one.
const MAX_REDIRECTS: usize = 5;

/// How long a server may keep silent.
#[derive(Clone, Copy)]
pub struct Patience {
    /// Until all of a short answer is there.
    pub whole: Duration,
    /// Between two parts of a long one.
    pub standstill: Duration,
}

/// Asks one server, the hub or a mirror, and those to which it sends us.
pub struct Client {
    agent: Agent,
    hub: Url,
    token: Option<String>,
    patience: Patience,
}

impl Client {
    /// A client of `hub`; `token` goes there and nowhere else.
    pub fn new(hub: Url, token: Option<String>, patience: Patience) -> Self {
        let standstill = Some(patience.standstill);
        let config = Agent::config_builder()
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")))
            // Redirects and statuses are judged here, one by one.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(standstill)
            .timeout_connect(standstill)
            .timeout_recv_response(standstill)
            .timeout_per_read(standstill)
            .timeout_per_write(standstill)
            .build();
        Self { agent: config.into(), hub, token, patience }
    }

    /// The answer to the path `tail`, of which no more than `most` bytes are taken.
    pub fn text(&self, tail: &str, most: u64) -> Result<String> {
        let mut answer = self.follow(tail, 0, Some(Instant::now() + self.patience.whole))?;
        if answer.status() != StatusCode::OK {
            bail!(refusal(answer.status()));
        }
        let text = answer.body_mut().with_config().limit(most).read_to_string();
        text.map_err(|error| anyhow!("the hub's answer cannot be read: {}", said(&error)))
    }

    /// The answer to the path `tail` from byte `from` on; its status is not judged.
    pub fn file(&self, tail: &str, from: u64) -> Result<Response<Body>> {
        self.follow(tail, from, None)
    }

    fn follow(&self, tail: &str, from: u64, deadline: Option<Instant>) -> Result<Response<Body>> {
        let mut url = self.hub.below(tail)?;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.ask(&url, from, deadline)?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location =
                answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            url = url
                .redirected(location.unwrap_or_default())
                .with_context(|| format!("the redirect of {url} is not followed"))?;
        }
        bail!("more than {MAX_REDIRECTS} redirects, the last to {url}")
    }

    fn ask(&self, url: &Url, from: u64, deadline: Option<Instant>) -> Result<Response<Body>> {
        let mut request = self.agent.get(url.uri());
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(token) = self.token.as_ref().filter(|_| url.same_server(&self.hub)) {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request
            .config()
            .timeout_global(
                deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            )
            // A proxy would look for this machine's own server on its machine.
            .proxy(if url.is_plain() { None } else { Proxy::try_from_env() })
            .build();
        request.call().map_err(|error| anyhow!("{url} cannot be reached: {}", said(&error)))
    }
}

/// The error that a status stands for.
pub fn refusal(status: StatusCode) -> Error {
    anyhow!(
        "the hub refuses: {status} (401, 403, 404: no such model, or a private one without \
         HF_TOKEN)"
    )
}

/// The error of a body that breaks off.
pub fn broken_off(error: io::Error) -> Error {
    anyhow!("the answer broke off: {}", said(&error.into()))
}

/// The client's errors in words.
fn said(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
