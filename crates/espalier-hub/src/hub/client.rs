//! Requests to the hub over HTTP: which servers are asked, which of them sees the token, and how
//! long an answer may take.

use super::url::Url;
use crate::error::{HubError, Result};
use std::io;
use std::time::{Duration, Instant};
use ureq::http::header::{AUTHORIZATION, LOCATION, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, Proxy};

/// The hub redirects requests for files to another server, and those for an old name of a model to
/// the new one.
const MAX_REDIRECTS: usize = 5;

/// How long to wait for a server.
#[derive(Clone, Copy)]
pub struct Timeouts {
    /// For a complete short answer, with its redirects.
    pub total: Duration,
    /// For the next bytes.
    pub idle: Duration,
}

/// Sends requests to one server, the hub or a mirror of it, and follows its redirects.
pub struct Client {
    agent: Agent,
    hub: Url,
    token: Option<String>,
    timeouts: Timeouts,
}

impl Client {
    /// A client of `hub`. Other servers do not get the `token`.
    pub fn new(hub: Url, token: Option<String>, timeouts: Timeouts) -> Self {
        let idle = Some(timeouts.idle);
        let config = Agent::config_builder()
            .user_agent(concat!("espalier/", env!("CARGO_PKG_VERSION")))
            // Redirects and statuses are handled here.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_resolve(idle)
            .timeout_connect(idle)
            .timeout_recv_response(idle)
            .timeout_per_read(idle)
            .timeout_per_write(idle)
            .build();
        Self { agent: config.into(), hub, token, timeouts }
    }

    /// The answer to `path` as text of at most `limit` bytes.
    pub fn text(&self, path: &str, limit: u64) -> Result<String> {
        let mut answer = self.follow(path, 0, Some(Instant::now() + self.timeouts.total))?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer.status()));
        }
        let text = answer.body_mut().with_config().limit(limit).read_to_string();
        text.map_err(|error| {
            HubError::listing(format!("the hub's answer cannot be read: {}", describe(&error)))
        })
    }

    /// The answer to `path` from byte `from` on, whatever its status.
    pub fn file(&self, path: &str, from: u64) -> Result<Response<Body>> {
        self.follow(path, from, None)
    }

    fn follow(&self, path: &str, from: u64, deadline: Option<Instant>) -> Result<Response<Body>> {
        let error = |url: &Url, reason| HubError::Redirect { server: url.to_string(), reason };
        let mut url = self.hub.below(path).map_err(|reason| error(&self.hub, reason))?;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.get(&url, from, deadline)?;
            if !answer.status().is_redirection() {
                return Ok(answer);
            }
            let location =
                answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            url = url
                .redirected(location.unwrap_or_default())
                .map_err(|reason| error(&url, reason))?;
        }
        Err(error(&url, format!("there are more than {MAX_REDIRECTS} redirects in a row")))
    }

    fn get(&self, url: &Url, from: u64, deadline: Option<Instant>) -> Result<Response<Body>> {
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
            // For a proxy, 127.0.0.1 would be its own machine.
            .proxy(if url.is_plain() { None } else { Proxy::try_from_env() })
            .build();
        request.call().map_err(|error| HubError::Unreachable {
            server: url.to_string(),
            reason: describe(&error),
        })
    }
}

/// The error for a status that is not success.
pub fn refused(status: StatusCode) -> HubError {
    HubError::Refused { status: status.to_string() }
}

/// The error for a body that ends too early.
pub fn interrupted(error: io::Error) -> HubError {
    HubError::transfer(format!("the answer broke off: {}", describe(&error.into())))
}

fn describe(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".into(),
        ureq::Error::Io(error) => error.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
