//! What is asked of the hub, what is kept, and what is not believed.

use super::*;
use crate::fetch::fake_hub::{
    COMMIT, CONFIG, FILES, MODEL, PATIENT, Reply, Request, Server, Then, VOCAB,
};
use crate::fetch::fake_hub::{asked, honest, listing};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A fresh `$HF_HOME`, and beside it a folder for downloads.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn hub(&self, address: &str) -> Hub {
        let client = Client::new(Url::parse(address).unwrap(), None, PATIENT);
        Hub { client, offline: false, cache: HubCache::at(self.0.path().join("hf")) }
    }

    fn downloads(&self) -> PathBuf {
        self.0.path().join("downloads")
    }

    /// What is downloaded into a fresh directory, by name, or the error's text.
    fn download(&self, hub: &Hub) -> Result<BTreeMap<String, String>, String> {
        let into = tempfile::tempdir().unwrap();
        hub.download(&id(), &self.downloads(), into.path())
            .map_err(|error| format!("{error:#}"))?;
        Ok(contents(into.path()))
    }

    /// As [`Machine::download`], from a server.
    fn fetch(&self, server: &Server) -> Result<BTreeMap<String, String>, String> {
        self.download(&self.hub(&server.address))
    }

    /// Puts files where the hub's tools would have.
    fn fill_hub_cache(&self) -> PathBuf {
        let repository = self.0.path().join("hf/hub/models--org--name");
        let snapshot = repository.join("snapshots").join(COMMIT);
        for folder in [&repository.join("blobs"), &repository.join("refs"), &snapshot] {
            fs::create_dir_all(folder).unwrap();
        }
        fs::write(repository.join("refs/main"), COMMIT).unwrap();
        for (name, text, sum) in FILES {
            fs::write(repository.join("blobs").join(sum), text).unwrap();
            #[cfg(unix)]
            std::os::unix::fs::symlink(format!("../../blobs/{sum}"), snapshot.join(name)).unwrap();
        }
        repository
    }
}

/// The files of a directory, by name.
fn contents(dir: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    files
        .map(|f| (f.file_name().into_string().unwrap(), fs::read_to_string(f.path()).unwrap()))
        .collect()
}

fn id() -> ModelId {
    ModelId::parse("org/name").unwrap()
}

fn everything() -> BTreeMap<String, String> {
    BTreeMap::from(FILES.map(|(name, text, _)| (name.to_string(), text.to_string())))
}

/// An honest hub but for the file `name`.
fn but_for(
    name: &'static str,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| match asked(request) {
        Some(file) if file.0 == name => answer(request),
        _ => honest(request),
    })
}

#[test]
fn the_listed_files_are_downloaded_once() {
    let (server, machine) = (Server::start(honest), Machine::new());
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["config.json 0", "model.safetensors 0", "vocab.txt 0"]);
    // A run that was interrupted afterwards.
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), [""; 0], "what was downloaded was not used");
    let kept: Vec<_> = contents(&machine.downloads()).into_keys().collect();
    assert_eq!(kept, [MODEL.2, CONFIG.2, VOCAB.2]);
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() {
    let cut = AtomicBool::new(true);
    let server = but_for(MODEL.0, move |request| {
        let reply = honest(request);
        if cut.swap(false, Ordering::SeqCst) { reply.cut(3) } else { reply }
    });
    assert_eq!(Machine::new().fetch(&server).unwrap(), everything());
    assert_eq!(
        server.files(),
        ["config.json 0", "model.safetensors 0", "model.safetensors 3", "vocab.txt 0"]
    );
}

#[test]
fn what_an_earlier_run_left_is_completed_or_replaced() {
    // Half of it, all of it, more than all of it, as much of something else, and half of something
    // else.
    for part in ["wei", "weights", "weights and more", "weightS", "xxx"] {
        let (server, machine) = (Server::start(honest), Machine::new());
        fs::create_dir_all(machine.downloads()).unwrap();
        fs::write(machine.downloads().join(MODEL.2), part).unwrap();
        assert_eq!(machine.fetch(&server).unwrap(), everything(), "{part}");
    }
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let server = but_for(MODEL.0, |_| Reply::text(MODEL.1));
    let machine = Machine::new();
    fs::create_dir_all(machine.downloads()).unwrap();
    fs::write(machine.downloads().join(MODEL.2), "wei").unwrap();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["config.json 0", "model.safetensors 3", "vocab.txt 0"]);
}

#[test]
fn content_that_is_not_what_the_hub_lists_is_refused() {
    for (name, bad) in [(MODEL.0, "weightS"), (CONFIG.0, "[]")] {
        let (server, machine) =
            (but_for(name, move |request| Reply::part(bad, request)), Machine::new());
        let error = machine.fetch(&server).unwrap_err();
        assert!(error.contains(name) && error.contains("checksum"), "{error}");
        assert_eq!(server.files().iter().filter(|file| **file == format!("{name} 0")).count(), 3);
        assert!(!contents(&machine.downloads()).into_values().any(|text| text == bad));
    }
}

#[test]
fn no_more_is_taken_than_is_listed_whatever_the_server_says() {
    let longer = |request: &Request| Reply::part("weights and more", request);
    let flood =
        |_: &Request| Reply { headers: vec![], then: Then::Flood, ..Reply::text("weights") };
    let liar = |_: &Request| Reply {
        headers: vec!["Content-Length: 7".into()],
        ..Reply::text("weights and more")
    };
    for (server, whole) in [
        (but_for(MODEL.0, longer), false),
        (but_for(MODEL.0, flood), false),
        (but_for(MODEL.0, liar), true),
    ] {
        let machine = Machine::new();
        match machine.fetch(&server) {
            Ok(files) => assert!(whole && files == everything()),
            Err(error) => {
                assert!(!whole && error.contains("more than the 7 bytes that it lists"), "{error}")
            }
        }
        for (name, text) in contents(&machine.downloads()) {
            assert!(text.len() <= 7, "{name}: {} bytes", text.len());
        }
    }
    let server = but_for(MODEL.0, |_| Reply::text("weig"));
    let error = Machine::new().fetch(&server).unwrap_err();
    assert!(error.contains("4 of 7 bytes") || error.contains("after byte 4"), "{error}");
}

#[test]
fn a_part_that_was_not_asked_for_is_not_appended() {
    let server = but_for(MODEL.0, |request| {
        let mut reply = Reply::part(MODEL.1, request);
        reply.headers.retain(|line| !line.starts_with("Content-Range"));
        reply.headers.push("Content-Range: bytes 1-6/7".into());
        reply
    });
    let machine = Machine::new();
    fs::create_dir_all(machine.downloads()).unwrap();
    fs::write(machine.downloads().join(MODEL.2), "wei").unwrap();
    // The first try is thrown away; the second asks for all of it.
    assert_eq!(machine.fetch(&server).unwrap(), everything());
}

#[test]
fn the_server_names_no_file() {
    let machine = Machine::new();
    let victim = machine.0.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    let path = victim.to_str().unwrap().to_string();
    let server = Server::start(move |request| {
        let mut reply = honest(request);
        for header in ["ETag", "X-Linked-Etag", "X-Repo-Commit"] {
            reply.headers.push(format!("{header}: \"{path}\""));
        }
        reply.headers.push("Content-Disposition: attachment; filename=\"../../victim\"".into());
        reply
    });
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    let there: Vec<_> =
        fs::read_dir(machine.0.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(there.len(), 2, "{there:?}");
    // Nor does its listing.
    let evil = listing().replace(COMMIT, "../../../victim");
    let server = Server::start(move |_| Reply::text(&evil));
    assert!(machine.fetch(&server).unwrap_err().contains("names no commit"));
}

#[cfg(unix)]
#[test]
fn nothing_is_written_through_a_link() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let victim = machine.0.path().join("victim");
    fs::write(&victim, "wei").unwrap();
    fs::create_dir_all(machine.downloads()).unwrap();
    std::os::unix::fs::symlink(&victim, machine.downloads().join(MODEL.2)).unwrap();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "wei");
}

#[test]
fn the_hubs_cache_is_used_and_left_as_it_is() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let repository = machine.fill_hub_cache();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), [""; 0], "the hub's cache was not used");
    let blob = repository.join("blobs").join(MODEL.2);
    fs::write(&blob, "weightS").unwrap();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["model.safetensors 0"]);
    assert_eq!(fs::read_to_string(blob).unwrap(), "weightS");
}

#[cfg(unix)]
#[test]
fn without_a_hub_its_tools_cache_serves_if_it_is_whole() {
    // A port that was just given back: nothing listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let machine = Machine::new();
    let unreachable = machine.hub(&format!("http://{free}"));
    let error = machine.download(&unreachable).unwrap_err();
    assert!(error.contains(&format!("http://{free} cannot be reached")), "{error}");
    let repository = machine.fill_hub_cache();
    assert_eq!(machine.download(&unreachable).unwrap(), everything());
    fs::write(repository.join("blobs").join(MODEL.2), "weightS").unwrap();
    assert!(machine.download(&unreachable).unwrap_err().contains("cannot be reached"));
}

#[test]
fn an_unknown_model_and_an_offline_hub_say_so() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let hub = machine.hub(&server.address);
    let other = ModelId::parse("org/other").unwrap();
    let error = hub.download(&other, &machine.downloads(), machine.0.path()).unwrap_err();
    assert!(error.to_string().contains("no such model"), "{error:#}");
    let offline = Hub { offline: true, ..hub };
    assert!(machine.download(&offline).unwrap_err().contains("HF_HUB_OFFLINE"));
}
