//! Compiles `proto/` to Rust types and a descriptor set, without `protoc`: protox parses, tonic-prost-build generates.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use protox::Compiler;
use protox::prost_reflect::FieldDescriptor;
use tonic_prost_build::Config;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = proto_files(Path::new("proto"))?;
    let mut compiler = Compiler::new(["proto"])?;
    // Comments become the OpenAPI descriptions.
    compiler.include_source_info(true).include_imports(true).open_files(files)?;

    // The encoded set keeps `google.api.http`, which the typed one drops as an unknown extension.
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is set by cargo")?);
    fs::write(out.join("descriptors.binpb"), compiler.encode_file_descriptor_set())?;

    // Their `Debug` is written by hand, so that it does not show what the contract says is a secret.
    let pool = compiler.descriptor_pool();
    let secretive = pool.all_messages().filter(|message| message.fields().any(|field| is_secret(&field)));
    let secretive: Vec<String> = secretive.map(|message| format!(".{}", message.full_name())).collect();

    let mut config = Config::new();
    // Sorted maps make equal events encode to equal bytes.
    config.btree_map(["."]).bytes(["."]).enable_type_names();
    tonic_prost_build::configure()
        .client_mod_attribute(".", "#[cfg(feature = \"client\")]")
        .server_mod_attribute(".", "#[cfg(feature = \"server\")]")
        .codec_path("crate::wire::WireCodec")
        .skip_debug(secretive)
        .compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

fn is_secret(field: &FieldDescriptor) -> bool {
    let options = field.options();
    options.get_field_by_name("debug_redact").is_some_and(|value| value.as_bool() == Some(true))
}

fn proto_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(proto_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
