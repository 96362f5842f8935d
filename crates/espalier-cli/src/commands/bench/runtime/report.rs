//! The results, as a table and as JSON.

use super::workload::{Attached, RANK};
use super::{Args, Modules, name};
use espalier_kernels::gemm::Kernel;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The results of the measurements that were asked for.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub setting: Setting,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open: Option<Openings>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Vec<Resident>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<Vec<Latency>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lengths: Option<Vec<Latency>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<Vec<Throughput>>,
}

/// What was measured.
#[derive(Serialize)]
pub(super) struct Setting {
    precision: &'static str,
    kernel: String,
    threads: usize,
    /// Layers of the backbone.
    backbone_layers: usize,
    /// Layers that each adapter is on.
    adapter_layers: usize,
    modules: Modules,
    rank: usize,
}

/// Median and 95th percentile of some times.
#[derive(Serialize)]
pub(super) struct Spread {
    pub median_ms: f64,
    pub p95_ms: f64,
}

impl Spread {
    pub fn of(mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        let count = times.len();
        Self { median_ms: times[count / 2], p95_ms: times[(count * 95).div_ceil(100) - 1] }
    }
}

#[derive(Serialize)]
pub(super) struct Latency {
    pub tokens: usize,
    pub adapters: usize,
    #[serde(flatten)]
    pub call: Spread,
}

#[derive(Serialize)]
pub(super) struct Throughput {
    /// Texts per call.
    pub batch: usize,
    pub texts_per_second: f64,
    /// Answers per second: one per text and adapter.
    pub requests_per_second: f64,
    pub call: Spread,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Resident {
    pub adapters: usize,
    /// Memory of the whole process.
    pub mib: f64,
    pub above_one_mib: f64,
}

#[derive(Serialize)]
pub(super) struct Openings {
    /// The first process, with the page cache as it was.
    pub first: Opening,
    /// Medians of the following processes, with the backbone in the page cache.
    pub later: Opening,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Opening {
    pub open_ms: f64,
    pub attach_ms: f64,
    pub answer_ms: f64,
    pub total_ms: f64,
    /// Memory of the process after the answer.
    pub mib: Option<f64>,
}

impl Setting {
    pub fn new(args: &Args, many: &Attached) -> Self {
        let backbone = many.runtime.backbone();
        Self {
            precision: backbone.precision().name(),
            kernel: format!("{:?}", Kernel::best(backbone.precision())),
            threads: rayon::current_num_threads(),
            backbone_layers: backbone.encoder.layers(),
            adapter_layers: args.layers,
            modules: args.modules,
            rank: RANK,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        let Setting { precision, kernel, threads, backbone_layers, adapter_layers, modules, rank } =
            &self.setting;
        writeln!(out, "{precision} by {kernel}, {threads} threads")?;
        let modules = name(*modules);
        writeln!(
            out,
            "adapters of rank {rank}: modules {modules}, last {adapter_layers} of \
             {backbone_layers} layers"
        )?;
        if let Some(Openings { first, later }) = &self.open {
            writeln!(
                out,
                "\n{:<28}{:>10}{:>10}{:>10}{:>10}",
                "first answer, ms", "open", "attach", "answer", "all"
            )?;
            for (name, one) in
                [("page cache as it was", first), ("backbone in the page cache", later)]
            {
                let Opening { open_ms, attach_ms, answer_ms, total_ms, .. } = one;
                writeln!(
                    out,
                    "{name:<28}{open_ms:>10.2}{attach_ms:>10.2}{answer_ms:>10.2}{total_ms:>10.2}"
                )?;
            }
            if let Some(mib) = later.mib {
                writeln!(out, "{mib:.1} MiB resident after it")?;
            }
        }
        if let Some(rows) = &self.memory {
            writeln!(out, "\n{:>10}{:>16}{:>16}", "adapters", "resident MiB", "above one")?;
            for Resident { adapters, mib, above_one_mib } in rows {
                writeln!(out, "{adapters:>10}{mib:>16.1}{above_one_mib:>16.1}")?;
            }
        }
        for rows in [&self.adapters, &self.lengths].into_iter().flatten() {
            writeln!(
                out,
                "\n{:>10}{:>10}{:>12}{:>12}",
                "tokens", "adapters", "median ms", "p95 ms"
            )?;
            for Latency { tokens, adapters, call } in rows {
                writeln!(
                    out,
                    "{tokens:>10}{adapters:>10}{:>12.2}{:>12.2}",
                    call.median_ms, call.p95_ms
                )?;
            }
        }
        if let Some(rows) = &self.throughput {
            let titles = ["texts/call", "texts/s", "requests/s", "median ms", "p95 ms"];
            writeln!(out, "\n{}", titles.map(|title| format!("{title:>12}")).concat())?;
            for Throughput { batch, texts_per_second, requests_per_second, call } in rows {
                write!(out, "{batch:>12}{texts_per_second:>12.0}{requests_per_second:>12.0}")?;
                writeln!(out, "{:>12.2}{:>12.2}", call.median_ms, call.p95_ms)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Spread;

    #[test]
    fn a_spread_is_by_rank() {
        let of = |times: &[f64]| {
            let Spread { median_ms, p95_ms } = Spread::of(times.to_vec());
            (median_ms, p95_ms)
        };
        assert_eq!(of(&[3.0]), (3.0, 3.0));
        assert_eq!(of(&[5.0, 1.0, 3.0]), (3.0, 5.0));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(of(&hundred), (51.0, 95.0));
    }
}
