//! A corpus file and its weight, as a configuration writes them.

use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A corpus file with its weight: `"a.jsonl"`, or `{ path = "a.jsonl", weight = 2.0 }`.
#[derive(Clone, Debug, PartialEq)]
pub struct CorpusConfig {
    /// The file. A relative path starts at the folder of the configuration file, or at the working
    /// directory if there is no such file.
    pub path: PathBuf,
    /// How many times more often it is drawn from than by its size alone; above 0.
    pub weight: f64,
}

impl<P: Into<PathBuf>> From<P> for CorpusConfig {
    fn from(path: P) -> Self {
        Self { path: path.into(), weight: 1.0 }
    }
}

impl fmt::Display for CorpusConfig {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.weight {
            1.0 => write!(f, "{}", self.path.display()),
            weight => write!(f, "{} (weight {weight})", self.path.display()),
        }
    }
}

/// The form with a weight, as a table.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    path: PathBuf,
    #[serde(default = "one")]
    weight: f64,
}

fn one() -> f64 {
    1.0
}

impl Serialize for CorpusConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.weight {
            1.0 => self.path.serialize(serializer),
            weight => Weighted { path: self.path.clone(), weight }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for CorpusConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // The errors of an untagged enum would not say what is wrong.
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = CorpusConfig;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a path, or a table with path and weight")
            }

            fn visit_str<E: Error>(self, path: &str) -> Result<CorpusConfig, E> {
                Ok(path.into())
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<CorpusConfig, A::Error> {
                let Weighted { path, weight } =
                    Weighted::deserialize(MapAccessDeserializer::new(map))?;
                Ok(CorpusConfig { path, weight })
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration that names corpora.
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        corpora: Vec<CorpusConfig>,
    }

    fn corpora(text: &str) -> Result<Vec<CorpusConfig>, String> {
        let config = toml::from_str::<Config>(text);
        config.map(|config| config.corpora).map_err(|error| error.to_string())
    }

    #[test]
    fn a_path_has_weight_one() {
        let expected =
            vec![CorpusConfig::from("a.jsonl"), CorpusConfig { path: "b.csv".into(), weight: 2.5 }];
        assert_eq!(
            corpora("corpora = [\"a.jsonl\", { path = \"b.csv\", weight = 2.5 }]"),
            Ok(expected.clone())
        );
        assert_eq!(
            corpora(
                "[[corpora]]\npath = \"a.jsonl\"\n[[corpora]]\npath = \"b.csv\"\n\
                 weight = 2.5"
            ),
            Ok(expected)
        );
    }

    #[test]
    fn what_is_written_is_read_back() {
        let weighted = |path: &str, weight| CorpusConfig { path: path.into(), weight };
        for corpora in [
            vec![],
            vec!["a".into()],
            vec![weighted("a", 3.0)],
            vec![weighted("a", 3.0), "b".into(), weighted("c d", 0.1)],
        ] {
            let config = Config { corpora };
            let text = toml::to_string_pretty(&config).unwrap();
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), config, "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for (value, message) in [
            ("3", "a path, or a table with path and weight"),
            ("{ path = \"a\", wieght = 2 }", "wieght"),
            ("{ weight = 2.0 }", "path"),
            ("{ path = \"a\", weight = \"much\" }", "much"),
        ] {
            let error = corpora(&format!("corpora = [{value}]")).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
