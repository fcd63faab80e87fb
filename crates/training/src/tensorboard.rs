//! The run's numbers as TensorBoard reads them: one event file for each start of a run.

use crate::TrainingError;
use crate::patient_log::PatientLog;
use crc::{CRC_32_ISCSI, Crc};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What TensorBoard asks of the first record; from this version on it heeds `START`.
const FILE_VERSION: &str = "brain.Event:2";
/// `SessionLog.SessionStatus.START`.
const START: u64 = 1;
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Appends records to an event file.
#[derive(Debug)]
pub(crate) struct EventFile {
    log: PatientLog,
}

impl EventFile {
    /// Begins a file in the run's `folder`. TensorBoard then forgets what earlier files say of `next_step` and
    /// the steps after it: they were lost with a crash, and are made again.
    ///
    /// # Errors
    /// [`TrainingError::Write`].
    pub(crate) fn create(folder: &Path, next_step: u64) -> Result<Self, TrainingError> {
        let now = since_1970();
        // TensorBoard knows its files by this name, and reads them in the order of their names.
        let name = format!("events.out.tfevents.{:010}.{:09}", now.as_secs(), now.subsec_nanos());
        let path = folder.join(name);
        let (log, _) = PatientLog::open(&path)?;
        let mut events = Self { log };
        events.write(&event(now, 0, 3, FILE_VERSION.as_bytes()));
        events.write(&event(now, next_step, 7, &number_field(1, START)));
        Ok(events)
    }

    /// Appends values of `step`, each under its name, now or when there is room again.
    pub(crate) fn scalars(&mut self, step: u64, values: &[(String, f64)]) {
        self.write(&event(since_1970(), step, 5, &summary(values)));
    }

    fn write(&mut self, event: &[u8]) {
        self.log.append(&record(event));
    }
}

fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// TFRecord: length, its checksum, the content, its checksum.
///
/// # Source
/// TensorFlow, `tensorflow/core/lib/io/record_writer.h`.
fn record(content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u64).to_le_bytes();
    let [of_length, of_content] = [&length, content].map(|bytes| masked_crc(bytes).to_le_bytes());
    [&length, &of_length[..], content, &of_content].concat()
}

/// CRC-32C, rotated and shifted, as TensorFlow stores it: checksums of data that hold checksums are weak.
fn masked_crc(bytes: &[u8]) -> u32 {
    CRC.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// `Event` of `tensorflow/core/util/event.proto`: wall_time = 1, step = 2, and one of its messages.
fn event(time: Duration, step: u64, field: u64, message: &[u8]) -> Vec<u8> {
    let wall_time = [&varint(1 << 3 | 1)[..], &time.as_secs_f64().to_le_bytes()].concat();
    let step = if step == 0 { Vec::new() } else { number_field(2, step) };
    [wall_time, step, bytes_field(field, message)].concat()
}

/// `Summary` of `tensorflow/core/framework/summary.proto`: value = 1, each with tag = 1 and simple_value = 2.
fn summary(values: &[(String, f64)]) -> Vec<u8> {
    let value = |(name, value): &(String, f64)| {
        let simple_value = [&varint(2 << 3 | 5)[..], &(*value as f32).to_le_bytes()].concat();
        bytes_field(1, &[bytes_field(1, name.as_bytes()), simple_value].concat())
    };
    values.iter().flat_map(value).collect()
}

/// A protobuf field of bytes, text or a message.
fn bytes_field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A protobuf field of a whole number.
fn number_field(number: u64, value: u64) -> Vec<u8> {
    [varint(number << 3), varint(value)].concat()
}

/// Seven bits a byte, the lowest first; the eighth says that more follow.
fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records made by TensorBoard 2.21.0 itself: `RecordWriter` on `Event(wall_time=...,
    /// ...).SerializeToString()`.
    #[test]
    fn records_are_those_of_tensorboard() {
        let time = Duration::from_secs_f64;
        let version = record(&event(time(1.5), 0, 3, FILE_VERSION.as_bytes()));
        assert_eq!(
            hex::encode(version),
            "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c"
        );
        let start = record(&event(time(2.25), 301, 7, &number_field(1, START)));
        assert_eq!(hex::encode(start), "100000000000000095fbfe1809000000000000024010ad023a020801518d2ae0");
        let values = [("loss".to_owned(), 0.5), ("learning_rate".to_owned(), 1e-3)];
        let scalars = record(&event(time(1_763_800_000.125), 300, 5, &summary(&values)));
        assert_eq!(
            hex::encode(scalars),
            "31000000000000009d8383e909000008f05c48da4110ac022a230a0b0a046c6f7373150000003f\
             0a140a0d6c6561726e696e675f72617465156f12833a7856cfe7"
        );
    }

    #[test]
    fn a_file_is_a_row_of_records() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 5).unwrap();
        events.scalars(5, &[("loss".to_owned(), 0.25)]);
        let bytes = std::fs::read(events.log.path()).unwrap();
        let (mut rest, mut sizes) = (&bytes[..], Vec::new());
        while let Some((length, more)) = rest.split_first_chunk() {
            let length = u64::from_le_bytes(*length) as usize;
            assert_eq!(record(&more[4..4 + length]), rest[..8 + 4 + length + 4]);
            (rest, sizes) = (&more[4 + length + 4..], [sizes, vec![length]].concat());
        }
        // A time has 9 bytes, a step below 128 two more.
        assert_eq!(sizes, [9 + 2 + FILE_VERSION.len(), 9 + 2 + 4, 9 + 2 + 2 + 2 + 6 + 5]);

        let error = EventFile::create(&folder.path().join("nowhere"), 1).unwrap_err();
        assert!(matches!(error, TrainingError::Write { .. }), "{error}");
    }
}
