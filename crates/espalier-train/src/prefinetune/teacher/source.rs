//! What the teacher says, from the cache where it is known.

use super::cache::Cache;
use super::{Said, Teacher};
use crate::error::Result;
use std::path::Path;

/// A teacher and perhaps what it said before.
pub(crate) struct TeacherWords<'a> {
    pub(crate) teacher: &'a Teacher,
    cache: Option<Cache>,
}

impl<'a> TeacherWords<'a> {
    /// Keeps what the teacher says in a directory, if one is given.
    pub(crate) fn new(teacher: &'a Teacher, directory: Option<&Path>) -> Result<Self> {
        let open = |directory| Cache::open(directory, &teacher.contents(), teacher.width());
        Ok(Self { teacher, cache: directory.map(open).transpose()? })
    }

    /// What it says about the words of each sentence.
    pub(crate) fn of(&mut self, sentences: &[&[String]]) -> Result<Vec<Said>> {
        let Some(cache) = &mut self.cache else { return Ok(self.teacher.say(sentences)) };
        let mut known: Vec<Option<Said>> = sentences.iter().map(|words| cache.get(words)).collect();
        let missing: Vec<usize> = (0..known.len()).filter(|&s| known[s].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<&[String]> = missing.iter().map(|&s| sentences[s]).collect();
            let said = self.teacher.say(&asked);
            cache.put(asked.into_iter().zip(&said))?;
            missing.into_iter().zip(said).for_each(|(s, said)| known[s] = Some(said));
        }
        Ok(known.into_iter().flatten().collect())
    }
}
