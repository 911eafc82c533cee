//! The few calls of Kafka's protocol that fixtures need, by hand: crates that test on Kafka bring a real client, those that
//! do not would have to compile one. Versions of requests that are not "flexible", which Kafka 4 still speaks.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::services::launch::PAUSE;

const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MS: i32 = 10_000;
const CORRELATION: i32 = 7;
const LATEST: i64 = -1;

const UNKNOWN_PARTITION: i16 = 3;
const NO_LEADER: i16 = 5;
const NOT_LEADER: i16 = 6;

const LIST_OFFSETS: (i16, i16) = (2, 5);
const METADATA: (i16, i16) = (3, 4);
const CREATE_TOPICS: (i16, i16) = (19, 4);
const DELETE_TOPICS: (i16, i16) = (20, 3);

/// A topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) partitions: i32,
}

/// A request's body being written.
#[derive(Default)]
struct Body(Vec<u8>);

impl Body {
    fn i8(mut self, value: i8) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i16(mut self, value: i16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i32(mut self, value: i32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn i64(mut self, value: i64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    fn string(mut self, text: &str) -> Result<Self> {
        self = self.i16(i16::try_from(text.len()).context("a name is too long")?);
        self.0.extend(text.as_bytes());
        Ok(self)
    }

    fn count(self, items: usize) -> Result<Self> {
        Ok(self.i32(i32::try_from(items).context("too many items")?))
    }
}

/// An answer being read.
struct Answer {
    bytes: Vec<u8>,
    at: usize,
}

impl Answer {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let part = self.bytes.get(self.at..self.at + N).context("the answer is cut short")?;
        self.at += N;
        Ok(part.try_into()?)
    }

    fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take()?))
    }

    fn bool(&mut self) -> Result<bool> {
        Ok(self.take::<1>()? != [0])
    }

    /// Empty if it is null.
    fn string(&mut self) -> Result<String> {
        let length = usize::try_from(self.i16()?).unwrap_or(0);
        let part = self.bytes.get(self.at..self.at + length).context("the answer is cut short")?;
        self.at += length;
        Ok(String::from_utf8_lossy(part).into_owned())
    }

    fn skip_i32s(&mut self) -> Result<()> {
        for _ in 0..self.i32()? {
            self.i32()?;
        }
        Ok(())
    }
}

fn call(port: u16, (api, version): (i16, i16), body: &Body) -> Result<Answer> {
    let exchange = || -> Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let request = Body::default().i16(api).i16(version).i32(CORRELATION).string("updraft-testkit")?;
        let length = u32::try_from(request.0.len() + body.0.len())?.to_be_bytes();
        stream.write_all(&[&length[..], &request.0, &body.0].concat())?;
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut bytes = vec![0; usize::try_from(u32::from_be_bytes(length))?];
        stream.read_exact(&mut bytes)?;
        let mut answer = Answer { bytes, at: 0 };
        if answer.i32()? != CORRELATION {
            bail!("it answers another request");
        }
        Ok(answer)
    };
    exchange().with_context(|| format!("Kafka on port {port}"))
}

/// The broker has registered itself with its controller: only then it can do anything.
pub(super) fn is_ready(port: u16) -> Result<()> {
    let mut answer = metadata(port)?;
    match brokers(&mut answer)? {
        0 => bail!("the broker is not yet registered"),
        _ => Ok(()),
    }
}

fn metadata(port: u16) -> Result<Answer> {
    call(port, METADATA, &Body::default().i32(-1).i8(0))
}

/// Reads up to the list of topics.
fn brokers(answer: &mut Answer) -> Result<i32> {
    answer.i32()?;
    let brokers = answer.i32()?;
    for _ in 0..brokers {
        answer.i32()?;
        answer.string()?;
        answer.i32()?;
        answer.string()?;
    }
    answer.string()?;
    answer.i32()?;
    Ok(brokers)
}

/// All topics but the broker's own.
pub(super) fn topics(port: u16) -> Result<Vec<Topic>> {
    let mut answer = metadata(port)?;
    brokers(&mut answer)?;
    let mut topics = Vec::new();
    for _ in 0..answer.i32()? {
        answer.i16()?;
        let name = answer.string()?;
        let internal = answer.bool()?;
        let partitions = answer.i32()?;
        for _ in 0..partitions {
            answer.i16()?;
            answer.i32()?;
            answer.i32()?;
            answer.skip_i32s()?;
            answer.skip_i32s()?;
        }
        if !internal {
            topics.push(Topic { name, partitions });
        }
    }
    Ok(topics)
}

/// Makes a topic, and waits until it can be used.
pub(super) fn create_topic(port: u16, name: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
    let mut body = Body::default().i32(1).string(name)?.i32(partitions).i16(1).i32(0).count(settings.len())?;
    for (name, value) in settings {
        body = body.string(name)?.string(value)?;
    }
    let mut answer = call(port, CREATE_TOPICS, &body.i32(TIMEOUT_MS).i8(0))?;
    answer.i32()?;
    for _ in 0..answer.i32()? {
        let (name, code, text) = (answer.string()?, answer.i16()?, answer.string()?);
        if code != 0 {
            bail!("the topic `{name}` cannot be made: {text} (error code {code})");
        }
    }
    (0..partitions).try_for_each(|partition| end_offset(port, name, partition).map(drop))
}

/// Deletes topics.
pub(super) fn delete_topics(port: u16, names: &[&str]) -> Result<()> {
    if names.is_empty() {
        return Ok(());
    }
    let mut body = Body::default().count(names.len())?;
    for name in names {
        body = body.string(name)?;
    }
    let mut answer = call(port, DELETE_TOPICS, &body.i32(TIMEOUT_MS))?;
    answer.i32()?;
    for _ in 0..answer.i32()? {
        let (name, code) = (answer.string()?, answer.i16()?);
        if code != 0 {
            bail!("the topic `{name}` cannot be deleted (error code {code})");
        }
    }
    Ok(())
}

/// The offset after the last record of a partition. Waits for a partition that has no leader for the moment: just made, or
/// on a broker just started.
pub(super) fn end_offset(port: u16, topic: &str, partition: i32) -> Result<i64> {
    let body = Body::default().i32(-1).i8(0).i32(1).string(topic)?.i32(1).i32(partition).i32(-1).i64(LATEST);
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut answer = call(port, LIST_OFFSETS, &body)?;
        answer.i32()?;
        answer.i32()?;
        answer.string()?;
        answer.i32()?;
        answer.i32()?;
        match answer.i16()? {
            0 => {
                // A timestamp comes first.
                answer.i64()?;
                return answer.i64();
            }
            UNKNOWN_PARTITION | NO_LEADER | NOT_LEADER if Instant::now() < deadline => thread::sleep(PAUSE),
            code => bail!("no offset of `{topic}`, partition {partition} (error code {code})"),
        }
    }
}
