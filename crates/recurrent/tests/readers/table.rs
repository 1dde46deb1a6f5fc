//! Tables of text, with tabs or commas, and folders with one file a label.

use std::fs;

use recurrent::data::{
    Columns, Labels, Row, Table, source, split_by_key,
    table::{Format, column_count, column_names},
};

use super::{assert_names, choice, folder, put, seed};

const WANTED: [&str; 2] = ["text", "label"];

pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    if choice & 0x80 != 0 {
        return labelled(bytes);
    }
    let format = if choice & 1 == 0 { Format::Tabs } else { Format::Commas };
    let path = put(if choice & 1 == 0 { "a.tsv" } else { "a.csv" }, bytes);
    let source = source::open(&path).expect("the file is there");
    let picked = match choice >> 2 & 7 {
        0 | 1 => None,
        2 => Some(vec!["2", "1"]),
        3 => Some(vec!["label", "text"]),
        4 => Some(vec!["1", "1"]),
        5 => Some(vec!["0", "99999999999999999999"]),
        6 => Some(vec!["", " text "]),
        _ => Some(vec!["1"]),
    };
    let picked = picked.map(|names| names.into_iter().map(str::to_owned).collect());
    let columns = Columns { picked, header: choice & 2 == 0 };
    let table = match Table::read(&source, &WANTED, &columns) {
        Ok(table) => table,
        Err(error) => {
            let message = error.to_string();
            if !message.starts_with("--columns") {
                assert_names(&error, &path);
            }
            return;
        }
    };
    let text = source.read_text().expect("it was read before");
    let again = Table::parse(&table.name, &text, format, &WANTED, &columns).expect("as before");
    assert_eq!(again, table);
    check(&table.rows, text.split('\n').count());
    let names = column_names(&source, &columns).expect("it is a table");
    let count = column_count(&source, &columns).expect("it is a table");
    assert!(names.len() == if columns.header { count } else { 0 });

    // Written again it is the same.
    let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    let (separator, header) =
        if choice & 1 == 0 { ("\t", "text\tlabel\n") } else { (",", "text,label\n") };
    let mut written = header.to_owned();
    for row in &table.rows {
        let cells: Vec<String> = match format {
            Format::Tabs => row.cells.clone(),
            Format::Commas => row.cells.iter().map(quoted).collect(),
        };
        written += &(cells.join(separator) + "\n");
    }
    let again = Table::parse("b", &written, format, &WANTED, &Columns::default())
        .unwrap_or_else(|error| panic!("{error}: {written:?}"));
    assert!(again.rows.iter().map(|row| &row.cells).eq(table.rows.iter().map(|row| &row.cells)));
}

/// A folder with the files `a.txt`, `b.txt`, of what zero bytes stand between.
fn labelled(bytes: &[u8]) {
    let path = folder().join("labels");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir(&path).expect("a temporary folder can be made");
    for (name, bytes) in ["a.txt", "b.TXT", "c.txt"].iter().zip(bytes.split(|&byte| byte == 0)) {
        fs::write(path.join(name), bytes).expect("a temporary file can be written");
    }
    let source = source::open(&path).expect("the folder is there");
    match Table::read_labelled(&source, &Columns::default()) {
        Ok(table) => {
            let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
            check_cells(&table.rows, lines);
        }
        Err(error) => assert_names(&error, &path),
    }
}

fn check(rows: &[Row], lines: usize) {
    assert!(rows.is_sorted_by(|a, b| a.line < b.line));
    check_cells(rows, lines);
}

fn check_cells(rows: &[Row], lines: usize) {
    assert!(!rows.is_empty());
    for Row { line, cells, .. } in rows {
        assert!((1..=lines).contains(line), "line {line} of {lines}");
        assert_eq!(cells.len(), 2);
        assert!(cells.iter().all(|cell| !cell.is_empty() && cell.trim() == cell), "{cells:?}");
    }
    if let Ok((train, held_out)) = split_by_key("a", "text", rows.to_vec(), |row| &row.cells[0]) {
        assert_eq!(train.len() + held_out.len(), rows.len());
        assert!(!train.is_empty() && !held_out.is_empty());
    }
    if let Ok(labels) = Labels::learn("a", rows.iter().map(|row| &*row.cells[1])) {
        for row in rows {
            let number = labels.number(&row.cells[1]).expect("it was learnt");
            assert_eq!(labels.name(number), row.cells[1]);
        }
        let json = serde_json::to_string(&labels).expect("labels are JSON");
        assert_eq!(serde_json::from_str::<Labels>(&json).ok(), Some(labels));
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let tabs = "text\tlabel\nIt is good.\tgood\n\nIt is \"bad\",\tbad\nso-so\tbad\n";
    let commas = "\"text\",label,extra\n\"It, is \"\"good\"\".\", good ,1\nIt is\u{a0}bad,\"bad\nor so\",2\n";
    let folder = "Adam\nEve\n\0\u{FEFF}Anna\r\nEwa\r\n\0Lila";
    let tables = (0..32).map(|choice| seed(choice, if choice & 1 == 0 { tabs } else { commas }));
    tables.chain([seed(0x80, folder)]).collect()
}
