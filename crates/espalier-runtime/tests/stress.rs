//! Adapters come, go and change while other threads run. Every answer is that of one version of its
//! adapter, head and labels included, and of the same one on all texts of a request.
//!
//! Takes 2 seconds; `ESPALIER_STRESS_SECONDS=120 cargo test -p espalier-runtime --test stress`
//! takes 120.

use espalier_encoder::{Adapter, Backbone, Output};
use espalier_runtime::{Request, Runtime, RuntimeError, TextAnswers};
use espalier_testing::adapters::{labels, random_adapter, random_lora, tags};
use espalier_testing::fixtures::tiny_bert;
use espalier_testing::runtime::to_request;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{scope, yield_now};
use std::time::{Duration, Instant};

const VARIABLE: &str = "ESPALIER_STRESS_SECONDS";
/// Adapters that are replaced all the time.
const CHANGING: [&str; 3] = ["things", "opinions", "vectors"];
/// An adapter that is attached and detached all the time.
const COMING: &str = "coming and going";
const READERS: u64 = 6;

/// What the tests know of an adapter: its versions, which differ in all parts, and what each
/// answers.
struct Known {
    versions: [Adapter; 2],
    answers: [Vec<String>; 2],
    /// How often each has answered.
    seen: [AtomicUsize; 2],
}

impl Known {
    fn new(backbone: &Backbone, texts: &[String], versions: [(usize, Output); 2]) -> Self {
        let mut seed = 0;
        let versions = versions.map(|(layers, output)| {
            seed += 1;
            random_adapter(backbone, random_lora(backbone, layers, seed), output, seed)
        });
        let answers = versions.clone().map(|version| {
            let runtime = Runtime::new(backbone.clone());
            runtime.attach_adapter("alone", version).unwrap();
            to_request(&runtime.run(texts, &["alone"]).unwrap(), 0)
        });
        assert_ne!(answers[0], answers[1], "versions that answer alike show nothing");
        Self { versions, answers, seen: Default::default() }
    }

    /// Checks the answers to one request on the texts from `from` on.
    fn check(&self, name: &str, from: usize, found: &[TextAnswers], request: usize) {
        let found = to_request(found, request);
        let version =
            self.answers.iter().position(|answers| answers[from..][..found.len()] == found);
        let version =
            version.unwrap_or_else(|| panic!("{name} answers as none of its versions: {found:?}"));
        self.seen[version].fetch_add(1, Relaxed);
    }
}

fn known(backbone: &Backbone, texts: &[String]) -> [Known; 4] {
    let opinions = [(3, labels(&["good", "bad"])), (0, labels(&["yes", "no", "perhaps"]))];
    [
        Known::new(backbone, texts, [(1, tags(&["thing"])), (2, tags(&["place", "person"]))]),
        Known::new(backbone, texts, opinions),
        Known::new(backbone, texts, [(2, Output::Vectors), (1, Output::Vectors)]),
        Known::new(backbone, texts, [(2, labels(&["old", "older"])), (2, tags(&["new"]))]),
    ]
}

/// Asks for everything, now of few texts, now of many.
fn read(runtime: &Runtime, texts: &[String], known: &[Known], plain: &[String], round: usize) {
    let (from, count) = (round % 7, [1, 3, 20][round % 3]);
    let texts = &texts[from..from + count];
    let mut requests = CHANGING.map(Request::Adapter).to_vec();
    requests.push(Request::Plain);
    let mut found = None;
    if round.is_multiple_of(2) {
        let with: Vec<Request> =
            requests.iter().copied().chain([Request::Adapter(COMING)]).collect();
        match runtime.run(texts, &with) {
            Ok(answers) => {
                known[3].check(COMING, from, &answers, 4);
                found = Some(answers);
            }
            Err(RuntimeError::UnknownAdapter { name, .. }) if name == COMING => {}
            Err(error) => panic!("{error}"),
        }
    }
    let found = found.unwrap_or_else(|| runtime.run(texts, &requests).unwrap());
    for (index, name) in CHANGING.into_iter().enumerate() {
        known[index].check(name, from, &found, index);
    }
    assert_eq!(to_request(&found, 3), plain[from..from + count], "the backbone alone");
}

#[test]
fn every_answer_is_of_one_version() {
    let seconds =
        std::env::var(VARIABLE).map_or(2.0, |text| text.parse().expect("a number of seconds"));
    let end = Instant::now() + Duration::from_secs_f64(seconds);
    let words = ["london", "music", "東京", "zoo", "Café"];
    let texts: Vec<String> =
        (0..27).map(|n| [words[n % 5], words[n * n % 4], words[n / 9]].join(" ")).collect();
    let backbone = tiny_bert();
    let known = known(&backbone, &texts);
    let runtime = Runtime::new(backbone);
    let plain = to_request(&runtime.run(&texts, &[Request::Plain]).unwrap(), 0);
    for (name, known) in CHANGING.into_iter().zip(&known) {
        runtime.attach_adapter(name, known.versions[0].clone()).unwrap();
    }
    scope(|threads| {
        for reader in 0..READERS {
            let (runtime, texts, known, plain) = (&runtime, &texts, &known, &plain);
            threads.spawn(move || {
                (reader as usize..).take_while(|_| Instant::now() < end).for_each(|round| {
                    read(runtime, texts, known, plain, round);
                });
            });
        }
        for (name, known) in CHANGING.into_iter().zip(&known) {
            let runtime = &runtime;
            threads.spawn(move || {
                for version in
                    known.versions.iter().rev().cycle().take_while(|_| Instant::now() < end)
                {
                    runtime.replace_adapter(name, version.clone()).unwrap();
                    yield_now();
                }
            });
        }
        threads.spawn(|| {
            for version in known[3].versions.iter().cycle().take_while(|_| Instant::now() < end) {
                runtime.attach_adapter(COMING, version.clone()).unwrap();
                assert!(matches!(
                    runtime.attach_adapter(COMING, version.clone()),
                    Err(RuntimeError::NameTaken { .. })
                ));
                yield_now();
                runtime.detach(COMING).unwrap();
            }
        });
    });
    let seen = known.map(|known| known.seen.map(AtomicUsize::into_inner));
    println!("answers by version: {seen:?}");
    assert!(seen.iter().flatten().all(|&count| count > 0), "a version was never seen: {seen:?}");
    assert_eq!(runtime.names().len(), CHANGING.len());
}
