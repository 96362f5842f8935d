//! Which requests are sent, what is kept, and what is refused.

use super::fake::{COMMIT, CONFIG, FILES, LONG, MODEL, Reply, Request, Server, Then, VOCAB};
use super::fake::{honest, listing, requested};
use super::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// A fresh `$HF_HOME`, and a folder for downloads.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn hub(&self, address: &str) -> Hub {
        let client = Client::new(Url::parse(address).unwrap(), None, LONG);
        Hub { client, offline: false, hf_home: HfHome::at(self.0.path().join("hf")) }
    }

    fn downloads(&self) -> PathBuf {
        self.0.path().join("downloads")
    }

    /// Downloads into a fresh directory: the files by name, or the error's message.
    fn download(&self, hub: &Hub) -> Result<BTreeMap<String, String>, String> {
        let into = tempfile::tempdir().unwrap();
        hub.download(&id(), &self.downloads(), into.path(), &Options::default())
            .map_err(|error| error.to_string())?;
        Ok(contents(into.path()))
    }

    /// [`Machine::download`] from a server.
    fn fetch(&self, server: &Server) -> Result<BTreeMap<String, String>, String> {
        self.download(&self.hub(&server.address))
    }

    /// Puts files where the hub's tools would put them.
    fn fill_hf_home(&self) -> PathBuf {
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

/// An honest hub, except for the file `name`.
fn except(
    name: &'static str,
    answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
) -> Server {
    Server::start(move |request| match requested(request) {
        Some(file) if file.0 == name => answer(request),
        _ => honest(request),
    })
}

#[test]
fn the_listed_files_are_downloaded_once() {
    let (server, machine) = (Server::start(honest), Machine::new());
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["config.json 0", "model.safetensors 0", "vocab.txt 0"]);
    // As after a run that was interrupted before it published the directory.
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), [""; 0], "the downloads were not used");
    let kept: Vec<_> = contents(&machine.downloads()).into_keys().collect();
    assert_eq!(kept, [MODEL.2, CONFIG.2, VOCAB.2]);
}

#[test]
fn progress_is_reported() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let into = tempfile::tempdir().unwrap();
    let events = RefCell::new(Vec::new());
    let record = |event: Event| events.borrow_mut().push(format!("{event:?}"));
    let options = Options::default().on_event(&record);
    machine
        .hub(&server.address)
        .download(&id(), &machine.downloads(), into.path(), &options)
        .unwrap();
    let expected = [
        // config.json has 2 bytes, model.safetensors 7 and vocab.txt 6.
        r#"Started { what: "downloading org/name", bytes: Some(15) }"#,
        "Received { bytes: 2 }",
        "Received { bytes: 9 }",
        "Received { bytes: 15 }",
        "Finished",
    ];
    assert_eq!(*events.borrow(), expected);
}

#[test]
fn an_interrupted_download_is_resumed() {
    let cut = AtomicBool::new(true);
    let server = except(MODEL.0, move |request| {
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
fn leftovers_of_an_earlier_run_are_completed_or_replaced() {
    // Half of the file, all of it, more, and as much or half as much of another file.
    for part in ["wei", "weights", "weights and more", "weightS", "xxx"] {
        let (server, machine) = (Server::start(honest), Machine::new());
        fs::create_dir_all(machine.downloads()).unwrap();
        fs::write(machine.downloads().join(MODEL.2), part).unwrap();
        assert_eq!(machine.fetch(&server).unwrap(), everything(), "{part}");
    }
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let server = except(MODEL.0, |_| Reply::text(MODEL.1));
    let machine = Machine::new();
    fs::create_dir_all(machine.downloads()).unwrap();
    fs::write(machine.downloads().join(MODEL.2), "wei").unwrap();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["config.json 0", "model.safetensors 3", "vocab.txt 0"]);
}

#[test]
fn content_with_another_checksum_is_refused() {
    for (name, bad) in [(MODEL.0, "weightS"), (CONFIG.0, "[]")] {
        let (server, machine) =
            (except(name, move |request| Reply::part(bad, request)), Machine::new());
        let error = machine.fetch(&server).unwrap_err();
        assert!(error.contains(name) && error.contains("checksum"), "{error}");
        assert_eq!(server.files().iter().filter(|file| **file == format!("{name} 0")).count(), 3);
        assert!(!contents(&machine.downloads()).into_values().any(|text| text == bad));
    }
}

#[test]
fn no_more_bytes_are_taken_than_listed() {
    let longer = |request: &Request| Reply::part("weights and more", request);
    let flood =
        |_: &Request| Reply { headers: vec![], then: Then::Flood, ..Reply::text("weights") };
    let lying = |_: &Request| Reply {
        headers: vec!["Content-Length: 7".into()],
        ..Reply::text("weights and more")
    };
    for (server, complete) in [
        (except(MODEL.0, longer), false),
        (except(MODEL.0, flood), false),
        (except(MODEL.0, lying), true),
    ] {
        let machine = Machine::new();
        match machine.fetch(&server) {
            Ok(files) => assert!(complete && files == everything()),
            Err(error) => {
                assert!(
                    !complete && error.contains("more than the 7 bytes that it lists"),
                    "{error}"
                )
            }
        }
        for (name, text) in contents(&machine.downloads()) {
            assert!(text.len() <= 7, "{name}: {} bytes", text.len());
        }
    }
    let server = except(MODEL.0, |_| Reply::text("weig"));
    let error = Machine::new().fetch(&server).unwrap_err();
    assert!(error.contains("4 of 7 bytes") || error.contains("after byte 4"), "{error}");
}

#[test]
fn a_wrong_range_is_not_appended() {
    let server = except(MODEL.0, |request| {
        let mut reply = Reply::part(MODEL.1, request);
        reply.headers.retain(|line| !line.starts_with("Content-Range"));
        reply.headers.push("Content-Range: bytes 1-6/7".into());
        reply
    });
    let machine = Machine::new();
    fs::create_dir_all(machine.downloads()).unwrap();
    fs::write(machine.downloads().join(MODEL.2), "wei").unwrap();
    // The first attempt is discarded; the second requests the whole file.
    assert_eq!(machine.fetch(&server).unwrap(), everything());
}

#[test]
fn the_server_cannot_choose_file_names() {
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
    // Not in its listing either.
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
fn files_in_hf_home_are_used_and_not_changed() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let repository = machine.fill_hf_home();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), [""; 0], "HF_HOME was not used");
    let blob = repository.join("blobs").join(MODEL.2);
    fs::write(&blob, "weightS").unwrap();
    assert_eq!(machine.fetch(&server).unwrap(), everything());
    assert_eq!(server.files(), ["model.safetensors 0"]);
    assert_eq!(fs::read_to_string(blob).unwrap(), "weightS");
}

#[cfg(unix)]
#[test]
fn without_a_network_hf_home_is_used_if_it_is_complete() {
    // A port that was just given back: nothing listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let machine = Machine::new();
    let unreachable = machine.hub(&format!("http://{free}"));
    let error = machine.download(&unreachable).unwrap_err();
    assert!(error.contains(&format!("http://{free} cannot be reached")), "{error}");
    let repository = machine.fill_hf_home();
    assert_eq!(machine.download(&unreachable).unwrap(), everything());
    fs::write(repository.join("blobs").join(MODEL.2), "weightS").unwrap();
    assert!(machine.download(&unreachable).unwrap_err().contains("cannot be reached"));
}

#[test]
fn unknown_models_and_offline_mode_are_explained() {
    let (server, machine) = (Server::start(honest), Machine::new());
    let hub = machine.hub(&server.address);
    let other = ModelId::parse("org/other").unwrap();
    let error = hub.download(&other, &machine.downloads(), machine.0.path(), &Options::default());
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
    let offline = Hub { offline: true, ..hub };
    assert!(machine.download(&offline).unwrap_err().contains("HF_HUB_OFFLINE"));
}
