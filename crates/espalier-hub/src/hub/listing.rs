//! What the hub lists for a model: the commit, and the size and checksum of each file.

use crate::cache::{FILES, MAX_FILE_BYTES, missing};
use crate::checksum::Checksum;
use crate::error::{HubError, Result};
use crate::model_id::ModelId;
use serde::Deserialize;

/// The files of a model that espalier reads, in one commit of its repository.
#[derive(Debug)]
pub struct Model {
    /// 40 hexadecimal digits.
    pub commit: String,
    /// In the order of [`FILES`].
    pub files: Vec<RemoteFile>,
}

/// A file of the model, as the hub lists it.
#[derive(Debug)]
pub struct RemoteFile {
    /// One of [`FILES`].
    pub name: &'static str,
    /// At most [`MAX_FILE_BYTES`].
    pub bytes: u64,
    pub checksum: Checksum,
}

/// The hub's answer: the fields of its web API with `blobs=true`.
#[derive(Deserialize)]
struct Listing {
    sha: Option<String>,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
}

impl Model {
    /// Parses the hub's answer about `id`. Only the validated commit becomes part of a path or URL.
    ///
    /// # Errors
    /// [`HubError::Listing`].
    pub fn parse(id: &ModelId, answer: &str) -> Result<Self> {
        // The parser's own message would quote the answer.
        let listing: Listing = serde_json::from_str(answer).map_err(|error| {
            HubError::listing(format!(
                "the hub's answer cannot be understood (JSON, line {}, column {})",
                error.line(),
                error.column()
            ))
        })?;
        let files = select(id, &listing)?;
        let commit = listing.sha.filter(|sha| is_commit(sha));
        let commit = commit.ok_or_else(|| HubError::listing("the hub's answer names no commit"))?;
        Ok(Self { commit, files })
    }
}

/// Whether `text` is a git commit: 40 lower-case hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    matches!(Checksum::parse(text), Some(Checksum::GitBlob(_)))
}

fn select(id: &ModelId, listing: &Listing) -> Result<Vec<RemoteFile>> {
    let find = |name: &str| listing.siblings.iter().find(|file| file.rfilename == name);
    let missing = missing(|name| find(name).is_some());
    if missing.contains(&"model.safetensors") && find("pytorch_model.bin").is_some() {
        return Err(HubError::listing(format!(
            "the hub has {id} only as pytorch_model.bin, which espalier does not read; convert it \
             where Python has transformers, then give the directory DIR in the place of the \
             id:\n  python3 -c \"from \
             transformers import AutoModel as M, AutoTokenizer as T; \
             [c.from_pretrained('{id}').save_pretrained('DIR') for c in (M, T)]\""
        )));
    }
    if !missing.is_empty() {
        return Err(HubError::listing(format!("the hub's {id} lacks {}", missing.join(", "))));
    }
    FILES.into_iter().filter_map(|name| find(name).map(|file| remote_file(name, file))).collect()
}

fn remote_file(name: &'static str, file: &Sibling) -> Result<RemoteFile> {
    let listed = file.lfs.as_ref().map(|lfs| &lfs.sha256).or(file.blob_id.as_ref());
    let lacks = |what: &str| HubError::listing(format!("the hub lists no {what} of {name}"));
    let checksum = listed.and_then(|hex| Checksum::parse(hex)).ok_or_else(|| lacks("checksum"))?;
    let bytes = file.size.ok_or_else(|| lacks("size"))?;
    if bytes > MAX_FILE_BYTES {
        return Err(HubError::listing(format!(
            "the hub's {name} has {bytes} bytes; espalier downloads at most {MAX_FILE_BYTES}"
        )));
    }
    Ok(RemoteFile { name, bytes, checksum })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "9e26dfeeb6e641a33dae4961196235bdb965b21b";

    fn parse(answer: &str) -> Result<Model> {
        Model::parse(&ModelId::parse("org/name").unwrap(), answer)
    }

    fn error(siblings: &str) -> String {
        parse(&format!(r#"{{"siblings":[{siblings}]}}"#)).unwrap_err().to_string()
    }

    #[test]
    fn unusable_listings_are_explained() {
        let small = r#"{"rfilename":"config.json"},{"rfilename":"vocab.txt"}"#;
        let pytorch = error(&format!(r#"{small},{{"rfilename":"pytorch_model.bin"}}"#));
        assert!(
            pytorch.contains("only as pytorch_model.bin") && pytorch.contains("save_pretrained"),
            "{pytorch}"
        );
        assert!(error(small).contains("lacks model.safetensors"));
        let unsummed = format!(r#"{small},{{"rfilename":"model.safetensors","size":7}}"#);
        assert!(error(&unsummed).contains("no checksum of config.json"));
        let huge = format!(r#"{{"rfilename":"config.json","size":5000000000,"blobId":"{SUM}"}},"#);
        let huge = error(&format!("{huge}{}", unsummed.replace("config.json", "x")));
        assert!(huge.contains("config.json has 5000000000 bytes"), "{huge}");
    }

    #[test]
    fn commits_and_checksums_are_validated() {
        let file = |name: &str, sum: &str| {
            format!(r#"{{"rfilename":"{name}","size":2,"blobId":"{sum}"}}"#)
        };
        let listing = |sha: &str, sum: &str| {
            let files =
                [file("config.json", SUM), file("vocab.txt", SUM), file("model.safetensors", sum)]
                    .join(",");
            parse(&format!(r#"{{"sha":"{sha}","siblings":[{files},{}]}}"#, file("../../evil", SUM)))
        };
        let model = listing(SUM, SUM).unwrap();
        assert_eq!(model.commit, SUM);
        let names: Vec<_> = model.files.iter().map(|file| file.name).collect();
        assert_eq!(names, ["config.json", "model.safetensors", "vocab.txt"]);
        for evil in ["../../../evil", "/etc/passwd", "main", "", &SUM[1..], &SUM.to_uppercase()] {
            assert!(
                listing(evil, SUM).unwrap_err().to_string().contains("names no commit"),
                "{evil}"
            );
            let error = listing(SUM, evil).unwrap_err().to_string();
            assert!(error.contains("no checksum of model.safetensors"), "{evil}: {error}");
        }
    }

    #[test]
    fn errors_do_not_repeat_the_answer() {
        let error = parse(r#"{"siblings":"\u001b[2J evil"}"#).unwrap_err();
        let error = error.to_string();
        assert!(error.contains("cannot be understood") && !error.contains("evil"), "{error}");
    }
}
