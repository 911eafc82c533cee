//! Cuts a child's output into lines of bounded length.

use std::fmt::Write as _;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;
use updraft_task::Output;

use crate::logs::MAX_LINE_BYTES;

/// Reads to the end; stops early when nobody listens any more.
pub(super) async fn read(
    output: Output,
    mut pipe: impl AsyncRead + Unpin + Send,
    sender: mpsc::Sender<(Output, String)>,
) {
    let mut chunk = vec![0; 16 << 10];
    let mut line: Vec<u8> = Vec::new();
    let mut over_bytes = 0;
    loop {
        let read = match pipe.read(&mut chunk).await {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        for byte in &chunk[..read] {
            if *byte != b'\n' {
                if line.len() < MAX_LINE_BYTES {
                    line.push(*byte);
                } else {
                    over_bytes += 1;
                }
                continue;
            }
            if sender.send((output, finish(&mut line, &mut over_bytes))).await.is_err() {
                return;
            }
        }
    }
    if !line.is_empty() {
        let _ = sender.send((output, finish(&mut line, &mut over_bytes))).await;
    }
}

fn finish(line: &mut Vec<u8>, over_bytes: &mut u64) -> String {
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let mut text = String::from_utf8_lossy(line).into_owned();
    if *over_bytes > 0 {
        let _ = write!(text, " … (cut, {over_bytes} bytes more)");
    }
    line.clear();
    *over_bytes = 0;
    text
}
