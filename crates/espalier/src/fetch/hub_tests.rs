//! The hub's side of the protocol on a loopback socket: what it lists, ranges, checksums, and misbehaviour.

use super::*;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Content and listed checksum of each file. The checksums are those of `sha256sum` and `git hash-object`.
const CONFIG: (&str, &str, &str) = ("config.json", "{}", "9e26dfeeb6e641a33dae4961196235bdb965b21b");
const VOCAB: (&str, &str, &str) = ("vocab.txt", "hello\n", "ce013625030ba8dba906f756967f9e9ca394464a");
const MODEL: (&str, &str, &str) =
    ("model.safetensors", "weights", "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c");

/// Serves org/name until the process ends and notes the range of every request for a file's bytes.
struct FakeHub {
    endpoint: String,
    ranges: Arc<Mutex<Vec<String>>>,
}

impl FakeHub {
    /// `served` replaces the content of single files, `cut` closes the connection after that many bytes, once.
    fn start(served: &[(&str, &'static str)], cut: Option<usize>) -> Self {
        let files = BTreeMap::from([CONFIG, VOCAB, MODEL].map(|(name, text, sum)| (name, (text, sum))));
        let mut content: BTreeMap<String, &'static str> =
            files.iter().map(|(name, file)| (name.to_string(), file.0)).collect();
        content.extend(served.iter().map(|(name, text)| (name.to_string(), *text)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let ranges = Arc::new(Mutex::new(Vec::new()));
        let (noted, mut cut) = (ranges.clone(), cut);
        thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), &content, &noted, &mut cut);
            }
        });
        Self { endpoint, ranges }
    }

    fn hub(&self, home: &Path) -> Hub {
        hub(&self.endpoint, home)
    }

    fn ranges(&self) -> Vec<String> {
        std::mem::take(&mut self.ranges.lock().unwrap())
    }
}

fn hub(endpoint: &str, home: &Path) -> Hub {
    Hub { endpoint: Some(endpoint.into()), token: None, offline: false, cache: hf_hub::Cache::new(home.join("hub")) }
}

fn listing() -> String {
    let small = |(name, text, sum): (&str, &str, &str)| {
        format!(r#"{{"rfilename":"{name}","size":{},"blobId":"{sum}"}}"#, text.len())
    };
    let lfs =
        format!(r#"{{"rfilename":"{}","size":7,"blobId":"x","lfs":{{"sha256":"{}","size":7}}}}"#, MODEL.0, MODEL.2);
    format!(r#"{{"sha":"c0ffee","siblings":[{},{},{lfs},{{"rfilename":"README.md"}}]}}"#, small(CONFIG), small(VOCAB))
}

fn serve(mut stream: TcpStream, content: &BTreeMap<String, &str>, noted: &Mutex<Vec<String>>, cut: &mut Option<usize>) {
    let mut request = Vec::new();
    for line in BufReader::new(stream.try_clone().unwrap()).lines() {
        match line.unwrap() {
            line if line.is_empty() => break,
            line => request.push(line),
        }
    }
    let path = request[0].split(' ').nth(1).unwrap().to_string();
    if path.starts_with("/api/models/org/name") {
        let body = listing();
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()).unwrap();
        return;
    }
    let name = path.rsplit("/main/").next().unwrap();
    let Some(body) = content.get(name) else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        return;
    };
    let range =
        request.iter().find_map(|line| line.to_lowercase().strip_prefix("range: bytes=").map(String::from)).unwrap();
    let (from, to) = range.split_once('-').unwrap();
    let from: usize = from.parse().unwrap();
    let to = to.parse().map_or(body.len(), |to: usize| to + 1);
    let sum = [CONFIG, VOCAB, MODEL].iter().find(|file| file.0 == name).unwrap().2;
    let is_body = range != "0-0";
    if is_body {
        noted.lock().unwrap().push(format!("{name} {range}"));
    }
    let status = if from < body.len() { "206 Partial Content" } else { "416 Range Not Satisfiable" };
    let slice = body.get(from..to).unwrap_or("");
    let head = format!(
        "HTTP/1.1 {status}\r\nETag: \"{sum}\"\r\nX-Repo-Commit: c0ffee\r\nContent-Range: bytes {from}-{}/{}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        to - 1,
        body.len(),
        slice.len()
    );
    let sent =
        if is_body && slice.len() > 2 { cut.take().unwrap_or(slice.len()).min(slice.len()) } else { slice.len() };
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&slice.as_bytes()[..sent]).unwrap();
}

fn id() -> ModelId {
    ModelId::parse("org/name").unwrap()
}

/// Downloads into a fresh directory and returns what is in it by name, or the error's text.
fn download(hub: &Hub) -> Result<BTreeMap<String, String>, String> {
    let into = tempfile::tempdir().unwrap();
    hub.download(&id(), into.path()).map_err(|error| format!("{error:#}"))?;
    let files = fs::read_dir(into.path()).unwrap().map(|entry| entry.unwrap());
    Ok(files.map(|f| (f.file_name().into_string().unwrap(), fs::read_to_string(f.path()).unwrap())).collect())
}

fn everything() -> BTreeMap<String, String> {
    BTreeMap::from([CONFIG, VOCAB, MODEL].map(|(name, text, _)| (name.to_string(), text.to_string())))
}

#[test]
fn the_listed_files_are_downloaded_once() {
    let (server, home) = (FakeHub::start(&[], None), tempfile::tempdir().unwrap());
    assert_eq!(download(&server.hub(home.path())).unwrap(), everything());
    assert_eq!(server.ranges(), ["config.json 0-", "model.safetensors 0-", "vocab.txt 0-"]);
    assert_eq!(download(&server.hub(home.path())).unwrap(), everything());
    assert_eq!(server.ranges(), [""; 0], "the hub's cache was not used");
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let (server, home) = (FakeHub::start(&[], Some(3)), tempfile::tempdir().unwrap());
    assert_eq!(download(&server.hub(home.path())).unwrap(), everything());
    let ranges = server.ranges();
    assert!(
        ranges.contains(&"model.safetensors 0-".into()) && ranges.contains(&"model.safetensors 3-".into()),
        "{ranges:?}"
    );
}

#[test]
fn a_partial_file_of_an_earlier_run_is_completed_or_replaced() {
    // Half of it, all of it but not yet renamed, more than all of it, and as much of something else.
    for part in ["wei", "weights", "weights and more", "xxx"] {
        let (server, home) = (FakeHub::start(&[], None), tempfile::tempdir().unwrap());
        let blobs = home.path().join("hub/models--org--name/blobs");
        fs::create_dir_all(&blobs).unwrap();
        fs::write(blobs.join(format!("{}.part", MODEL.2)), part).unwrap();
        assert_eq!(download(&server.hub(home.path())).unwrap(), everything(), "{part}");
    }
}

#[test]
fn content_that_is_not_what_the_hub_lists_is_refused() {
    for (name, bad) in [(MODEL.0, "weightS"), (CONFIG.0, "[]")] {
        let (server, home) = (FakeHub::start(&[(name, bad)], None), tempfile::tempdir().unwrap());
        let error = download(&server.hub(home.path())).unwrap_err();
        assert!(error.contains(name) && error.contains("checksum"), "{error}");
        assert_eq!(server.ranges().iter().filter(|r| r.starts_with(name)).count(), ATTEMPTS);
    }
}

#[test]
fn a_damaged_file_in_the_hubs_cache_is_downloaded_again() {
    let (server, home) = (FakeHub::start(&[], None), tempfile::tempdir().unwrap());
    download(&server.hub(home.path())).unwrap();
    fs::write(home.path().join("hub/models--org--name/blobs").join(MODEL.2), "weightS").unwrap();
    assert_eq!(download(&server.hub(home.path())).unwrap(), everything());
}

#[test]
fn without_a_hub_its_tools_cache_serves_if_it_is_whole() {
    let (server, home) = (FakeHub::start(&[], None), tempfile::tempdir().unwrap());
    // A port that was just given back: nothing listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unreachable = hub(&format!("http://{free}"), home.path());
    assert!(download(&unreachable).unwrap_err().contains("the hub cannot be reached"));
    download(&server.hub(home.path())).unwrap();
    assert_eq!(download(&unreachable).unwrap(), everything());
    fs::write(home.path().join("hub/models--org--name/blobs").join(MODEL.2), "weightS").unwrap();
    assert!(download(&unreachable).unwrap_err().contains("the hub cannot be reached"));
}

#[test]
fn an_unknown_model_and_an_offline_hub_say_so() {
    let (server, home) = (FakeHub::start(&[], None), tempfile::tempdir().unwrap());
    let other = ModelId::parse("org/other").unwrap();
    let error = server.hub(home.path()).download(&other, home.path()).unwrap_err();
    assert!(error.to_string().contains("no such model"), "{error:#}");
    let offline = Hub { offline: true, ..server.hub(home.path()) };
    assert!(download(&offline).unwrap_err().contains("HF_HUB_OFFLINE"));
}

#[test]
fn listings_that_espalier_cannot_use_are_explained() {
    let error = |siblings: &str| {
        let listing: Listing = serde_json::from_str(&format!(r#"{{"siblings":[{siblings}]}}"#)).unwrap();
        select(&id(), &listing).unwrap_err().to_string()
    };
    let small = r#"{"rfilename":"config.json"},{"rfilename":"vocab.txt"}"#;
    let pytorch = error(&format!(r#"{small},{{"rfilename":"pytorch_model.bin"}}"#));
    assert!(pytorch.contains("only as pytorch_model.bin") && pytorch.contains("save_pretrained"), "{pytorch}");
    assert!(error(small).contains("lacks model.safetensors"));
    let unsummed = format!(r#"{small},{{"rfilename":"model.safetensors","size":7}}"#);
    assert!(error(&unsummed).contains("no checksum of config.json"));
    let huge = format!(r#"{{"rfilename":"config.json","size":5000000000,"blobId":"{}"}},"#, CONFIG.2);
    assert!(
        error(&format!("{huge}{}", unsummed.replace("config.json", "x"))).contains("config.json has 5000000000 bytes")
    );
}

#[test]
fn a_silent_or_panicking_worker_is_given_up() {
    let silent = watched::<()>(
        Duration::from_millis(10),
        |_| (),
        |_reporter| loop {
            thread::park();
        },
    );
    assert!(silent.unwrap_err().to_string().contains("nothing came"));
    let panicking = watched::<()>(Duration::from_secs(5), |_| (), |_| panic!("on purpose"));
    assert!(panicking.unwrap_err().to_string().contains("cannot be understood"));
}
