#![doc = include_str!("../README.md")]

pub mod compare;
pub mod fixtures;
pub mod random;
pub mod run_directory;
pub mod tensors;

#[cfg(feature = "encoder")]
pub mod adapters;
#[cfg(feature = "encoder")]
pub mod packed_file;
#[cfg(feature = "encoder")]
pub mod recorded;
#[cfg(feature = "encoder")]
pub mod training_step;

#[cfg(feature = "tokenizers")]
pub mod wordpiece;

#[cfg(feature = "runtime")]
pub mod runtime;

#[cfg(feature = "fuzz")]
pub mod fuzz;
