//! Generates the gRPC code from `proto/` with a compiler written in Rust, so that nobody needs
//! `protoc`, and keeps the descriptors for server reflection.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    // Apart: a server is to tell of what it serves, and no more.
    for name in ["payments", "fraud", "health"] {
        let mut compiler = protox::Compiler::new(["proto"])?;
        compiler.include_imports(true).include_source_info(true);
        compiler.open_file(format!("{name}.proto"))?;
        fs::write(
            out.join(format!("{name}.bin")),
            compiler.encode_file_descriptor_set(),
        )?;
        tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    }
    Ok(())
}
