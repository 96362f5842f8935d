//! A fake hub for tests: a server on a loopback socket with replies that each test chooses, and the
//! replies of an honest hub.

use super::client::Timeouts;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Name, content and listed checksum of each file, by `sha256sum` and `git hash-object`.
pub const CONFIG: (&str, &str, &str) =
    ("config.json", "{}", "9e26dfeeb6e641a33dae4961196235bdb965b21b");
pub const VOCAB: (&str, &str, &str) =
    ("vocab.txt", "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");
pub const MODEL: (&str, &str, &str) = (
    "model.safetensors",
    "weights",
    "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c",
);
pub const FILES: [(&str, &str, &str); 3] = [CONFIG, VOCAB, MODEL];
pub const COMMIT: &str = "c0ffee0000000000000000000000000000c0ffee";

/// Long enough for a busy machine.
pub const LONG: Timeouts =
    Timeouts { total: Duration::from_secs(30), idle: Duration::from_secs(30) };
pub const SHORT: Timeouts =
    Timeouts { total: Duration::from_millis(100), idle: Duration::from_millis(100) };

pub struct Request {
    pub path: String,
    headers: Vec<String>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.iter().filter_map(|line| line.split_once(':'));
        headers
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }

    /// The first requested byte.
    pub fn from(&self) -> usize {
        self.header("range")
            .map_or(0, |range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap())
    }
}

/// What the server does after the body.
pub enum Then {
    Close,
    /// Sends nothing, as long as the client waits.
    Silence,
    /// Sends zeros, as long as the client reads.
    Flood,
}

pub struct Reply {
    pub status: &'static str,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    pub then: Then,
}

impl Reply {
    pub fn bare(status: &'static str) -> Self {
        Self {
            status,
            headers: vec!["Content-Length: 0".into()],
            body: Vec::new(),
            then: Then::Close,
        }
    }

    pub fn redirect(location: &str) -> Self {
        let mut reply = Self::bare("302 Found");
        reply.headers.push(format!("Location: {location}"));
        reply
    }

    pub fn text(text: &str) -> Self {
        let headers = vec![format!("Content-Length: {}", text.len())];
        Self { status: "200 OK", headers, body: text.into(), then: Then::Close }
    }

    /// The requested part of `text`, as servers that support ranges reply.
    pub fn part(text: &str, request: &Request) -> Self {
        let (from, whole) = (request.from(), text.len());
        if request.header("range").is_none() {
            return Self::text(text);
        }
        if from >= whole {
            return Self::bare("416 Range Not Satisfiable");
        }
        let mut reply = Self::text(&text[from..]);
        reply.status = "206 Partial Content";
        reply.headers.push(format!("Content-Range: bytes {from}-{}/{whole}", whole - 1));
        reply
    }

    /// Only the first bytes of what the headers announce.
    pub fn cut(mut self, at: usize) -> Self {
        self.body.truncate(at);
        self
    }
}

/// A server that replies until the process ends, and records the requests.
pub struct Server {
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (requests, answer) = (Arc::new(Mutex::new(Vec::new())), Arc::new(answer));
        let record = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (answer, record) = (answer.clone(), record.clone());
                thread::spawn(move || serve(stream.unwrap(), &*answer, &record));
            }
        });
        Self { address, requests }
    }

    /// The requests since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// The files requested since the last call, each with its first byte.
    pub fn files(&self) -> Vec<String> {
        let requests = self.requests();
        let files = requests.iter().filter(|request| request.path.contains("/resolve/"));
        files
            .map(|request| {
                format!("{} {}", request.path.rsplit('/').next().unwrap(), request.from())
            })
            .collect()
    }
}

fn serve(mut stream: TcpStream, answer: &impl Fn(&Request) -> Reply, record: &Mutex<Vec<Request>>) {
    let lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let mut lines: Vec<String> =
        lines.map(|line| line.unwrap()).take_while(|line| !line.is_empty()).collect();
    let path = lines.remove(0).split(' ').nth(1).unwrap().to_string();
    let request = Request { path, headers: lines };
    let reply = answer(&request);
    record.lock().unwrap().push(request);
    let headers: String = reply.headers.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!("HTTP/1.1 {}\r\n{headers}Connection: close\r\n\r\n", reply.status);
    // The client may hang up at any time.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&reply.body));
    match reply.then {
        Then::Close => {}
        Then::Silence => drop(stream.read(&mut [0])),
        Then::Flood => while stream.write_all(&[0; 1 << 16]).is_ok() {},
    }
}

/// What the hub lists for org/name.
pub fn listing() -> String {
    let small = |(name, text, sum): (&str, &str, &str)| {
        format!(r#"{{"rfilename":"{name}","size":{},"blobId":"{sum}"}}"#, text.len())
    };
    let lfs = format!(
        r#"{{"rfilename":"{}","size":7,"blobId":"x","lfs":{{"sha256":"{}","size":7}}}}"#,
        MODEL.0, MODEL.2
    );
    let readme = r#"{"rfilename":"README.md"}"#;
    format!(
        r#"{{"sha":"{COMMIT}","siblings":[{},{},{lfs},{readme}]}}"#,
        small(CONFIG),
        small(VOCAB)
    )
}

/// The requested file of org/name.
pub fn requested(request: &Request) -> Option<(&'static str, &'static str, &'static str)> {
    let name = request.path.strip_prefix(&format!("/org/name/resolve/{COMMIT}/"))?;
    FILES.into_iter().find(|file| file.0 == name)
}

/// The replies of an honest hub.
pub fn honest(request: &Request) -> Reply {
    match requested(request) {
        Some((_, text, _)) => Reply::part(text, request),
        None if request.path == "/api/models/org/name/revision/main?blobs=true" => {
            Reply::text(&listing())
        }
        None => Reply::bare("404 Not Found"),
    }
}
