//! Parquet, behind the feature `parquet`.
//!
//! The Parquet library trusts the sizes that a file states: it allocates, recurses and decompresses
//! by them. So they are checked first: the tree of columns in `schema.rs`, the sizes of pages in
//! `pages.rs`, the counts inside delta-encoded pages in `lengths.rs`, all with the reader of
//! Thrift's compact protocol in `thrift.rs`. `rows.rs` then makes a record of each row.

#[cfg(feature = "parquet")]
mod class_names;
#[cfg(feature = "parquet")]
mod lengths;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod rows;
#[cfg(feature = "parquet")]
mod schema;
#[cfg(feature = "parquet")]
mod thrift;

use super::format::Format;

/// Each row is a record. Names of columns are its keys.
#[cfg(feature = "parquet")]
pub(super) const FORMAT: Format =
    Format { name: "Parquet", extensions: &["parquet"], open: rows::open };

/// Known by its extension, so that files get an error which says what to do.
#[cfg(not(feature = "parquet"))]
pub(super) const FORMAT: Format = Format {
    name: "Parquet",
    extensions: &["parquet"],
    open: |path| {
        let problem = "this build has no support for it; build with the feature `parquet`, or \
                       convert the file to JSON lines";
        Err(crate::error::DataError::Parquet { path: path.to_owned(), problem: problem.into() })
    },
};
