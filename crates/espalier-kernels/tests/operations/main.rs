//! Every operation against its slow f64 version in `oracle`: the forward pass directly, the backward pass against finite
//! differences of it; and the promises about threads and batches, bit for bit.

mod attention;
mod embedding;
mod fixture;
mod gelu;
mod layer_norm;
mod linear;
mod loss;
mod optimizer;
mod oracle;
mod pooling;
mod support;
