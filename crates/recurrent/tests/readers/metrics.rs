//! `metrics.jsonl` when a run goes on: the file may hold anything, and a checkpoint may say any
//! length.

use std::fs;

use recurrent::run::MetricsLog;

use super::put;

pub(super) fn run(bytes: &[u8]) {
    let (length, bytes) = bytes.split_at(bytes.len().min(8));
    let mut eight = [0; 8];
    eight[..length.len()].copy_from_slice(length);
    let length = u64::from_le_bytes(eight);
    let path = put("metrics.jsonl", bytes);
    let mut log =
        MetricsLog::resume(&path, length, u64::MAX).expect("a file of our own can be cut");
    let kept = log.length() as usize;
    assert!(kept <= bytes.len() && kept as u64 <= length);
    assert_eq!(log.missing(), length - kept as u64);
    assert!(kept == 0 || bytes[kept - 1] == b'\n', "a torn line is kept");
    let rest = &bytes[kept..bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
    assert!(!rest.contains(&b'\n'), "a whole line is lost");
    log.write(&serde_json::json!({ "event": "step", "loss": f64::NAN })).unwrap();
    let expected = [&bytes[..kept], b"{\"event\":\"step\",\"loss\":null}\n"].concat();
    assert_eq!(log.length(), expected.len() as u64);
    assert_eq!(fs::read(&path).unwrap(), expected);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let lines = "{\"event\":\"step\",\"step\":50}\n{\"event\":\"epoch\"}\n{\"event\":\"st";
    [0_u64, 27, 45, 46, 60, u64::MAX]
        .map(|length| [&length.to_le_bytes()[..], lines.as_bytes()].concat())
        .to_vec()
}
