//! Rows of a Parquet file as JSON objects.

use std::fs::File;
use std::path::{Path, PathBuf};

use espalier_encoder::catch_panic;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::record::reader::RowIter;
use parquet::record::{Field, Row};
use serde_json::{Map, Value};

use super::class_names::ClassNames;
use super::{lengths, pages, schema};
use crate::error::{DataError, RecordError};
use crate::formats::compression::Compression;
use crate::formats::format::{Numbered, Records};
use crate::formats::limits::MAX_LINE_BYTES;

/// Opens a file whose rows become records, numbered from 1. Nothing follows an error of reading.
pub(super) fn open(path: &Path) -> Result<Records, DataError> {
    let file =
        File::open(path).map_err(|cause| DataError::Open { path: path.to_owned(), cause })?;
    let (rows, names) = guarded(path, || {
        schema::check(&file)?;
        let pages = file.try_clone().map_err(|error| error.to_string())?;
        let reader = SerializedFileReader::new(file).map_err(|error| error.to_string())?;
        pages::check(&pages, reader.metadata())?;
        let metadata = reader.metadata().file_metadata().key_value_metadata();
        let names = metadata.and_then(|pairs| {
            pairs.iter().find(|pair| pair.key == "huggingface")?.value.as_deref()
        });
        let names = ClassNames::from_metadata(names.unwrap_or_default());
        Ok((RowIter::from_file_into(Box::new(lengths::Checked(reader))), names))
    })?;
    let rows = Rows { path: path.to_owned(), rows: Some(rows), names, row: 0 };
    Ok(Records::new(path, Compression::None, rows))
}

/// Runs a part of the Parquet library, which panics on some damaged or malicious files.
fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, String>) -> Result<T, DataError> {
    let result = catch_panic(work).unwrap_or_else(|| Err("its data contradict themselves".into()));
    result.map_err(|problem| DataError::Parquet { path: path.to_owned(), problem })
}

struct Rows {
    path: PathBuf,
    /// Absent after an error.
    rows: Option<RowIter<'static>>,
    names: ClassNames,
    row: usize,
}

impl Iterator for Rows {
    type Item = Result<Numbered, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        // Put back only after a row was read.
        let mut rows = self.rows.take()?;
        self.row += 1;
        let item =
            guarded(&self.path, || rows.next().transpose().map_err(|error| error.to_string()));
        let row = match item {
            Ok(row) => row?,
            Err(error) => return Some(Err(error)),
        };
        self.rows = Some(rows);
        let mut value = object(&row);
        self.names.replace_numbers(&mut value);
        let size = size(&value);
        Some(if size > MAX_LINE_BYTES {
            let problem = RecordError::TooLarge { size, limit: MAX_LINE_BYTES };
            Err(DataError::Record { path: self.path.clone(), line: self.row, problem })
        } else {
            Ok((self.row, value))
        })
    }
}

fn object(row: &Row) -> Value {
    Value::Object(
        row.get_column_iter()
            .map(|(name, field)| (name.clone(), json(field)))
            .collect::<Map<_, _>>(),
    )
}

fn json(field: &Field) -> Value {
    match field {
        Field::Bool(value) => (*value).into(),
        Field::Byte(value) => (*value).into(),
        Field::Short(value) => (*value).into(),
        Field::Int(value) => (*value).into(),
        Field::Long(value) => (*value).into(),
        Field::UByte(value) => (*value).into(),
        Field::UShort(value) => (*value).into(),
        Field::UInt(value) => (*value).into(),
        Field::ULong(value) => (*value).into(),
        Field::Float(value) => (*value).into(),
        Field::Double(value) => (*value).into(),
        Field::Str(text) => text.as_str().into(),
        // Some writers do not mark text as text.
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Value::Null, Value::from),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().map(json).collect(),
        // Times, decimals and maps: no record needs them.
        _ => Value::Null,
    }
}

/// Bytes of all texts of a value; numbers and the like count as 8.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(map) => map.values().map(size).sum(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::basic::{Compression, Encoding};
    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::{WriterProperties, WriterVersion};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;
    use serde_json::json;

    use super::*;

    const SCHEMA: &str = "message schema {
        OPTIONAL BYTE_ARRAY text (UTF8);
        REQUIRED INT64 label;
        REQUIRED GROUP tokens (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (UTF8); } \
                          }
    }";

    /// Two rows, of which the second has no text.
    fn file(compression: Compression) -> Vec<u8> {
        let names = json!({"info": {"features": {"label": {"names": ["no", "yes"]}}}}).to_string();
        let metadata = vec![KeyValue::new("huggingface".to_owned(), names)];
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_key_value_metadata(Some(metadata))
            .build();
        let mut bytes = Vec::new();
        let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut text = group.next_column().unwrap().unwrap();
        text.typed::<ByteArrayType>().write_batch(&["a text".into()], Some(&[1, 0]), None).unwrap();
        text.close().unwrap();
        let mut label = group.next_column().unwrap().unwrap();
        label.typed::<Int64Type>().write_batch(&[1, 7], None, None).unwrap();
        label.close().unwrap();
        let mut tokens = group.next_column().unwrap().unwrap();
        let words = ["x", "y", "z"].map(ByteArray::from);
        tokens
            .typed::<ByteArrayType>()
            .write_batch(&words, Some(&[1, 1, 1]), Some(&[0, 1, 0]))
            .unwrap();
        tokens.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    /// A file of one column of numbers or texts, by zstd.
    fn column<T: parquet::data_type::DataType>(schema: &str, values: &[T::T]) -> Vec<u8> {
        let properties =
            WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
        let properties = Arc::new(properties.set_dictionary_enabled(false).build());
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let mut bytes = Vec::new();
        let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<T>().write_batch(values, None, None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn decompression_bombs_are_refused() {
        let text = "message m { REQUIRED BYTE_ARRAY text (UTF8); }";
        let long =
            |size: usize| column::<ByteArrayType>(text, &[ByteArray::from(vec![b'a'; size])]);
        assert_eq!(read(&long(1 << 20)).unwrap().len(), 1);
        let bomb = long(65 << 20);
        let error = read(&bomb).unwrap_err().to_string();
        assert!(bomb.len() < 1 << 20 && error.contains("state that they hold 681"), "{error}");

        let label = "message m { REQUIRED INT64 label; }";
        let error = read(&column::<Int64Type>(label, &vec![0; 9_000_000])).unwrap_err().to_string();
        assert!(error.contains("9000000 rows in "), "{error}");
    }

    #[test]
    fn schemas_are_limited() {
        let nested = |depth: usize| {
            let (open, close) = ("REQUIRED GROUP g { ".repeat(depth), " }".repeat(depth));
            column::<Int64Type>(
                &format!("message m {{ {open} REQUIRED INT64 label; {close} }}"),
                &[1],
            )
        };
        assert_eq!(read(&nested(30)).unwrap().len(), 1);
        let error = read(&nested(40)).unwrap_err().to_string();
        assert!(error.contains("columns nested more than 32 deep"), "{error}");
        let wide: String = (0..16_384).map(|i| format!("OPTIONAL INT64 c{i}; ")).collect();
        let schema = Arc::new(parse_message_type(&format!("message m {{ {wide} }}")).unwrap());
        let mut bytes = Vec::new();
        SerializedFileWriter::new(&mut bytes, schema, Default::default()).unwrap().close().unwrap();
        let error = read(&bytes).unwrap_err().to_string();
        assert!(error.contains("16385 columns, more than 16384"), "{error}");
    }

    #[test]
    fn delta_encoded_lengths_are_read() {
        for encoding in [Encoding::DELTA_LENGTH_BYTE_ARRAY, Encoding::DELTA_BYTE_ARRAY] {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                let properties =
                    WriterProperties::builder().set_writer_version(version).set_encoding(encoding);
                let properties = Arc::new(properties.set_dictionary_enabled(false).build());
                let schema = Arc::new(
                    parse_message_type("message m { OPTIONAL BYTE_ARRAY text (UTF8); }").unwrap(),
                );
                let mut bytes = Vec::new();
                let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
                let mut group = writer.next_row_group().unwrap();
                let mut column = group.next_column().unwrap().unwrap();
                let texts: Vec<ByteArray> =
                    (0..300).map(|i| ByteArray::from(format!("text {i}").as_str())).collect();
                let levels: Vec<i16> = (0..301).map(|i| i16::from(i != 7)).collect();
                column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
                column.close().unwrap();
                group.close().unwrap();
                writer.close().unwrap();
                let rows = read(&bytes).unwrap();
                assert_eq!(rows.len(), 301, "{encoding}");
                assert_eq!(
                    [&rows[7].1, &rows[300].1],
                    [&json!({"text": null}), &json!({"text": "text 299"})]
                );
            }
        }
    }

    fn read(bytes: &[u8]) -> Result<Vec<Numbered>, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.parquet");
        std::fs::write(&path, bytes).unwrap();
        open(&path)?.collect()
    }

    #[test]
    fn rows_become_records() {
        let expected = vec![
            (1, json!({"text": "a text", "label": "yes", "tokens": ["x", "y"]})),
            (2, json!({"text": null, "label": 7, "tokens": ["z"]})),
        ];
        for compression in [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(Default::default()),
            Compression::ZSTD(Default::default()),
        ] {
            assert_eq!(read(&file(compression)).unwrap(), expected, "{compression}");
        }
    }

    #[test]
    fn damaged_files_are_errors() {
        let complete = file(Compression::SNAPPY);
        for bytes in
            [&b""[..], b"PAR1", &complete[..complete.len() / 2], &complete[..complete.len() - 1]]
        {
            let error = read(bytes).unwrap_err().to_string();
            assert!(error.contains("a.parquet: cannot be read as Parquet: "), "{error}");
        }
        // A changed byte never causes a panic or an endless read.
        for at in 0..complete.len() {
            let mut bytes = complete.clone();
            bytes[at] ^= 0xff;
            let _ = read(&bytes).map(|rows| assert!(rows.len() < 1000));
        }
    }
}
