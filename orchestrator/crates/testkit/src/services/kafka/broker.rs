//! The broker's program, and two things that are made once to start it sooner: formatted storage, and an archive of its
//! classes (half of a start is loading them).

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail};
use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::{Address, wire};
use crate::process::Program;
use crate::services::{Kind, Missing, Own, cache, fetch, missing::apart, place::tail, ports};

/// Of broker, tools and Connect alike.
pub(in crate::services) const VERSION: &str = "4.3.1";
const SETTINGS: &str = include_str!("../../../../../../deploy/kafka/server.properties");
const LOGGING: &str = include_str!("../../../../../../deploy/kafka/log4j2.properties");
const POM: &str = include_str!("../../../servers/kafka/pom.xml");
const SUMS: &str = include_str!("../../../servers/kafka/jars.sha256");
/// Any id of 22 characters; the same for all, since the storage is copied.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// The jars of broker, tools and Connect.
pub(in crate::services) fn libraries() -> Result<PathBuf> {
    fetch::need_java()?;
    fetch::jars(&format!("kafka-{VERSION}"), "55 MB from Maven Central", POM, SUMS)
}

/// `java` with these jars, little memory, and the logging configuration in `folder`.
pub(in crate::services) fn java(libraries: &Path, heap: &str, folder: &Path) -> Program {
    Program::of_server("java")
        .args([heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .arg(format!("-Dlog4j2.configurationFile={}", folder.join("log4j2.properties").display()))
        .args(["-cp", &format!("{}/*", libraries.display())])
}

/// Writes the logging configuration that [`java`] names.
pub(in crate::services) fn write_logging(folder: &Path) -> Result<()> {
    fs::write(folder.join("log4j2.properties"), LOGGING).context("cannot write log4j2.properties")
}

/// A broker.
#[derive(Debug, Clone)]
pub struct Broker {
    libraries: PathBuf,
    storage: PathBuf,
    archive: Archive,
}

#[derive(Debug, Clone)]
enum Archive {
    /// It could not be made; the start takes longer.
    None,
    Use(PathBuf),
    /// The broker writes it when it ends.
    Write(PathBuf),
}

impl Broker {
    pub(crate) fn find() -> Result<Self> {
        let libraries = libraries()?;
        let storage = cache::once(&format!("kafka-{VERSION}-storage"), "made here", |part| format(&libraries, part))?;
        let plain = Self { libraries, storage, archive: Archive::None };
        // Silently ignored by another Java than that which wrote it.
        let name = format!("kafka-{VERSION}-classes-{}.jsa", java_version()?);
        let archive = cache::once(&name, "53 MB, made here in half a minute", |part| plain.write_archive(part));
        let archive = apart(archive)?.map_or(Archive::None, Archive::Use);
        Ok(Self { archive, ..plain })
    }

    /// A broker that is started and ended writes the archive. Without one everything works, only slower: not a failure.
    fn write_archive(&self, part: &Path) -> Result<()> {
        let writing = Self { archive: Archive::Write(part.to_owned()), ..self.clone() };
        Own::start(writing)?.stop()?;
        if !part.is_file() {
            bail!(Missing::new("java has written no archive of classes"));
        }
        Ok(())
    }

    /// A tool from the jars.
    pub(super) fn tool(class: &str) -> Result<Program> {
        let libraries = libraries()?;
        // What a tool logs would mix with what it says.
        Ok(Program::of_server("java")
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Dlog4j2.level=OFF", "-cp"])
            .arg(format!("{}/*", libraries.display()))
            .arg(class))
    }
}

/// Formats storage: with the tool and not by hand, which would leave the features at level 0 (no transactions of today,
/// no consumer groups of KIP-848).
fn format(libraries: &Path, part: &Path) -> Result<()> {
    let work = tempfile::tempdir().context("cannot make a folder")?;
    write_logging(work.path())?;
    let address = Address { port: 1, controller_port: 2 };
    let properties = work.path().join("server.properties");
    fs::write(&properties, settings(&address, part)).context("cannot write server.properties")?;
    let output = java(libraries, "-Xmx128m", work.path())
        .args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"])
        .arg(&properties)
        .command()
        .output()
        .context("cannot run java")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("Kafka's storage cannot be formatted: {}", tail(&String::from_utf8_lossy(&said)));
    }
    Ok(())
}

fn java_version() -> Result<String> {
    let output = Command::new("java").arg("-version").output().context("cannot run java")?;
    Ok(HEXLOWER.encode(&Sha256::digest(&output.stderr)[..4]))
}

fn settings(address: &Address, data: &Path) -> String {
    let (port, controller) = (address.port, address.controller_port);
    format!(
        "{SETTINGS}\n\
         listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{port}\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         log.dirs={}\n",
        data.display()
    )
}

impl Kind for Broker {
    type Address = Address;

    const NAME: &'static str = "kafka";

    fn prepare(&self, folder: &Path) -> Result<Address> {
        let address = Address { port: ports::free()?, controller_port: ports::free()? };
        let data = folder.join("data");
        fs::create_dir(&data).context("cannot make the folder of its data")?;
        for entry in fs::read_dir(&self.storage).context("cannot list the formatted storage")?.flatten() {
            fs::copy(entry.path(), data.join(entry.file_name())).context("cannot copy the formatted storage")?;
        }
        fs::write(folder.join("server.properties"), settings(&address, &data))
            .context("cannot write server.properties")?;
        write_logging(folder)?;
        Ok(address)
    }

    fn launch(&self, folder: &Path, _: &Address) -> Program {
        let launch = java(&self.libraries, "-Xmx512m", folder);
        let launch = match &self.archive {
            Archive::None => launch,
            Archive::Use(file) => launch.arg(format!("-XX:SharedArchiveFile={}", file.display())),
            Archive::Write(file) => {
                launch.arg(format!("-XX:ArchiveClassesAtExit={}", file.display())).arg("-Xlog:cds=error")
            }
        };
        launch.arg("kafka.Kafka").arg(folder.join("server.properties"))
    }

    fn check(address: &Address) -> Result<()> {
        wire::is_ready(address.port)
    }
}
