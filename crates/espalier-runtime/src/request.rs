/// What to find out about a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request<'a> {
    /// What the adapter attached by this name says: entities, a label or, of an adapter without a
    /// head, a vector.
    Adapter(&'a str),
    /// The text's vector by the backbone alone.
    Plain,
}

impl<'a> From<&'a str> for Request<'a> {
    fn from(name: &'a str) -> Self {
        Self::Adapter(name)
    }
}
