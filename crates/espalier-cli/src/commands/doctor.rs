use crate::output;
use espalier_encoder::{Compute, Precision};
use espalier_kernels::gemm::Kernel;
use espalier_kernels::{AUTO_PRECISION, INSTRUCTIONS, Processor, instruction_set, processor};
use serde_json::{Map, Value, json};

/// Report which instructions of the processor are used, and by which kernels
#[derive(clap::Args)]
#[command(after_help = "Example: espalier doctor --json")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> anyhow::Result<()> {
    let (features, auto, threads) =
        (features(processor()), Compute::Auto.precision(), rayon::current_num_threads());
    let kernels = Precision::ALL.map(|precision| (precision, Kernel::best(precision)));
    if args.json {
        let kernels = kernels.map(|(precision, kernel)| {
            (precision.name().to_string(), json!(format!("{kernel:?}")))
        });
        let features = features.into_iter().map(|(name, has)| (name.to_string(), json!(has)));
        return output::json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "architecture": std::env::consts::ARCH,
            "threads": threads,
            "features": features.collect::<Map<_, _>>(),
            "elementwise": format!("{:?}", instruction_set()),
            "kernels": kernels.into_iter().collect::<Map<_, _>>(),
            "auto": auto.name(),
            "environment": environment().collect::<Map<_, _>>(),
        }));
    }
    say!(
        "espalier {} on {}, {threads} threads",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH
    )?;
    let (has, lacks): (Vec<_>, Vec<_>) = features.into_iter().partition(|(_, has)| *has);
    let names = |list: Vec<(&'static str, bool)>| {
        list.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
    };
    say!("instructions used: {}", names(has))?;
    say!("not available or not used: {}", names(lacks))?;
    for (name, value) in environment() {
        say!("environment: {name}={value}")?;
    }
    for (precision, kernel) in kernels {
        let mark = if precision == auto { "   <- what --precision auto chooses here" } else { "" };
        say!("{precision:<5} matrix products: {kernel:?}{mark}")?;
    }
    say!("everything else: {:?}", instruction_set())?;
    say!("")?;
    say!("measure their speed with: espalier bench limits")?;
    Ok(())
}

/// The environment variables that limit which instructions are used, if they are set.
fn environment() -> impl Iterator<Item = (String, Value)> {
    let value = |name: &'static str| {
        Some((name.to_string(), std::env::var(name).ok().filter(|value| !value.is_empty())?.into()))
    };
    [INSTRUCTIONS, AUTO_PRECISION].into_iter().filter_map(value)
}

/// The instruction sets that kernels exist for, and whether each is used.
fn features(cpu: Processor) -> [(&'static str, bool); 8] {
    [
        ("AVX2 + FMA", cpu.avx2),
        ("AVX-512", cpu.avx512),
        ("AVX512_BF16", cpu.avx512_bf16),
        ("AVX512_VNNI", cpu.avx512_vnni),
        ("AMX-BF16", cpu.amx_bf16),
        ("AMX-INT8", cpu.amx_int8),
        ("NEON", cpu.neon),
        ("NEON dot product", cpu.dotprod),
    ]
}
