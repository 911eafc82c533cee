//! Server-sent events, as far as the API sends them.

use reqwest::Response;

use crate::exit_code::Failure;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub kind: String,
    /// Where to go on behind it.
    pub id: String,
    /// What it says.
    pub data: String,
}

/// A stream of events.
pub struct Events {
    response: Response,
    buffer: Vec<u8>,
}

impl Events {
    /// Of an answer that is one.
    pub fn new(response: Response) -> Self {
        Self { response, buffer: Vec::new() }
    }

    /// The next event; `None` at the stream's end. Dropping the future loses nothing.
    ///
    /// # Errors
    /// The connection is lost.
    pub async fn next(&mut self) -> Result<Option<Event>, Failure> {
        loop {
            if let Some(event) = take(&mut self.buffer) {
                return Ok(Some(event));
            }
            let lost = |error: reqwest::Error| Failure::unreachable(format!("the stream of events broke off: {error}"));
            match self.response.chunk().await.map_err(lost)? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// Takes the first whole event out of what came; comments are left out.
fn take(buffer: &mut Vec<u8>) -> Option<Event> {
    loop {
        let end = buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = buffer.drain(..end + 2).collect();
        let mut event = Event::default();
        for line in String::from_utf8_lossy(&block).lines() {
            let Some((field, value)) = line.split_once(':') else { continue };
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut event.kind),
                "id" => value.clone_into(&mut event.id),
                "data" if event.data.is_empty() => value.clone_into(&mut event.data),
                "data" => event.data.extend(["\n", value]),
                // A comment, or a field that the API does not send.
                _ => {}
            }
        }
        if event != Event::default() {
            return Some(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_whole_and_comments_left_out() {
        let mut buffer = b":\n\nevent: line\nid: 7\ndata: {\"a\":\"x: y\"}\n\nevent: e".to_vec();
        let event = take(&mut buffer).unwrap();
        assert_eq!((event.kind.as_str(), event.id.as_str(), event.data.as_str()), ("line", "7", r#"{"a":"x: y"}"#));
        assert_eq!(take(&mut buffer), None);
        buffer.extend_from_slice(b"nd\ndata: 1\ndata: 2\n\n");
        let event = take(&mut buffer).unwrap();
        assert_eq!((event.kind.as_str(), event.data.as_str()), ("end", "1\n2"));
        assert!(buffer.is_empty());
    }
}
