//! Tasks and adapters made on the spot, in words that the tiny BERT knows.

use espalier_data::{AnnotatedText, Examples, LabelledText};
use espalier_train::finetune::FinetuneConfig;

pub const TAGS: [&str; 3] = ["O", "B-city", "I-city"];

/// A setting under which the small tasks are learned quickly.
pub fn config() -> FinetuneConfig {
    let (learning_rate, head_learning_rate) = (1e-2, 2e-2);
    FinetuneConfig {
        steps: 120,
        batch: 8,
        learning_rate,
        head_learning_rate,
        ..FinetuneConfig::default()
    }
}

pub fn texts(texts: &[(&str, &str)]) -> Examples {
    let labelled =
        |&(text, label): &(&str, &str)| LabelledText { text: text.into(), label: label.into() };
    Examples::Classification(texts.iter().map(labelled).collect())
}

/// Sentences whose tags are those of `tagged`, or all `O`.
pub fn sentences(sentences: &[Vec<&str>], tagged: impl Fn(&str) -> &'static str) -> Examples {
    let row = |words: &Vec<&str>| {
        let tags: Vec<&str> = words.iter().map(|word| tagged(word)).collect();
        AnnotatedText::from_tags(words, &tags)
    };
    Examples::Ner(sentences.iter().map(row).collect())
}

/// Whether a text is kind is said by one of its words.
pub fn opinions() -> Examples {
    let mut rows = Vec::new();
    for thing in ["hotel", "music", "weather", "film", "food", "team", "flight", "book"] {
        for (word, label) in
            [("good", "kind"), ("great", "kind"), ("bad", "unkind"), ("cheap", "unkind")]
        {
            rows.push((format!("the {thing} was {word}"), label));
        }
    }
    texts(&rows.iter().map(|(text, label)| (text.as_str(), *label)).collect::<Vec<_>>())
}

/// Cities and people, each given away by its words; "new york" and "john smith" are entities of two
/// words.
pub fn names() -> Examples {
    let mut rows = Vec::new();
    for city in ["london", "paris", "berlin", "new york"] {
        for person in ["john smith", "john"] {
            rows.push(format!("{person} was in {city}"));
            rows.push(format!("the train to {city} with {person} is not cheap"));
        }
    }
    sentences(&rows.iter().map(|row| row.split(' ').collect()).collect::<Vec<_>>(), |word| {
        match word {
            "london" | "paris" | "berlin" | "new" => "B-city",
            "york" => "I-city",
            "john" => "B-person",
            "smith" => "I-person",
            _ => "O",
        }
    })
}
