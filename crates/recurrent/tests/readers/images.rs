//! Images (PNG and JPEG), and tables of images or features.

use std::fs;

use recurrent::data::{
    Columns, Pictures, PixelScale, Table,
    images::{load, parse_features},
    source,
};

use super::{assert_names, choice, crc32, folder, put, seed};

pub(super) fn run(bytes: &[u8]) {
    let (choice, bytes) = choice(bytes);
    match choice % 3 {
        0 => image(bytes),
        // Nearly every change of a PNG file breaks a checksum.
        1 => {
            let mut repaired = bytes.to_vec();
            repair(&mut repaired);
            image(&repaired);
        }
        _ => table(bytes),
    }
}

fn image(bytes: &[u8]) {
    let path = put("a.png", bytes);
    match load(&path) {
        Err(problem) => assert_names(&problem, &path),
        Ok(image) => {
            assert!(image.width.min(image.height) > 0 && image.width.max(image.height) <= 4096);
            assert_eq!(image.pixels.len(), image.width * image.height * image.channels);
            // One in a hundred is large, and its pixels need no second look.
            if image.pixels.len() < 100_000 {
                assert_eq!(load(&path).ok().as_ref(), Some(&image));
                let standard = PixelScale::of([&image]).standardize(&[&image]);
                assert!(standard.iter().all(|number| number.is_finite()));
            }
        }
    }
}

fn table(bytes: &[u8]) {
    let _ = fs::write(folder().join("b.png"), png(1, 1, png::ColorType::Rgb, &[1, 2, 3]));
    let path = put("a.tsv", bytes);
    let source = source::open(&path).expect("the file is there");
    if let Some(numbers) = str::from_utf8(bytes).ok().and_then(parse_features) {
        assert!(!numbers.is_empty() && numbers.iter().all(|number| number.is_finite()));
    }
    let Ok(table) = Table::read(&source, &["image", "caption"], &Columns::default()) else {
        return;
    };
    // What a changed path names is not ours to read.
    if table.rows.iter().any(|row| row.cells[0].contains('/')) {
        return;
    }
    match Pictures::read(&source, &table, 0) {
        Err(error) => assert_names(&error, &path),
        Ok(pictures) => {
            assert!(pictures.require("a", pictures.shape()).is_ok());
            match pictures {
                Pictures::Images { images, of_row } => {
                    assert_eq!(of_row.len(), table.rows.len());
                    assert!(of_row.iter().all(|&index| index < images.len()));
                }
                Pictures::Features { size, vectors } => {
                    assert_eq!(vectors.len(), table.rows.len());
                    assert!(size > 0 && vectors.iter().all(|vector| vector.len() == size));
                }
            }
        }
    }
}

/// Makes the checksums of a PNG file's chunks right.
fn repair(bytes: &mut [u8]) -> Option<()> {
    let mut at = 8;
    loop {
        let length = u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
        let checksum = crc32(bytes.get(at + 4..at + 8 + length)?);
        let end = at + 8 + length;
        bytes.get_mut(end..end + 4)?.copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
}

/// The bytes of a PNG file.
pub(super) fn png(width: u32, height: u32, color: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    if color == png::ColorType::Indexed {
        encoder.set_palette(vec![1, 2, 3, 4, 5, 6]);
        encoder.set_trns(vec![255, 0]);
    }
    let mut writer = encoder.write_header().expect("memory can be written");
    writer.write_image_data(samples).expect("memory can be written");
    drop(writer);
    bytes
}

/// A JPEG file of 16x8 in colour, and one of 16x16 in grey.
const JPEGS: [&str; 2] = [
    "FFD8FFE000104A46494600010200000100010000FFC00011080008001003001100011101021101FF\
     DB004300020101010101020101010202020202040302020202050404030406050606060506060607\
     0908060709070606080B08090A0A0A0A0A06080B0C0B0A0C090A0A0AFFDB00430102020202020205\
     0303050A0706070A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A\
     0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0AFFC4001500010100000000000000000000000000000708\
     FFC40014100100000000000000000000000000000000FFC400150101010000000000000000000000\
     0000000906FFC40014110100000000000000000000000000000000FFDA0008010000003F0093C16F\
     FFDA0008010111003F0087358FFFDA0008010211003F0053027BFFD9",
    "FFD8FFE000104A46494600010200000100010000FFC0000B080010001001001100FFDB004300140E\
     0F120F0D14121012171514181E32211E1C1C1E3D2C2E243249404C4B47404645505A736250556D56\
     45466488656D777B8182814E608D978C7D96737E817CFFDB0043011517171E1A1E3B21213B7C5346\
     537C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C\
     7C7C7C7C7C7C7C7C7C7C7CFFC400160001010100000000000000000000000000020003FFC4002210\
     00020202000603000000000000000000010203111221000413314161236271FFDA0008010000003F\
     0052C41259C988858917A25430A2CA6EC2915640F55AD78CDD9603714B823020044C3154D1C72344\
     D85395D8ABF5C28F092543CA89964372679623C82B641FA9ABC7F7B19A2E610375FE381CA95642E3\
     C5124936344EBBD03DEB7FFFD9",
];

pub(super) fn seeds() -> Vec<Vec<u8>> {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
    let hexadecimal = |text: &str| -> Vec<u8> {
        let digits = text.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).expect("ASCII"));
        digits.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect()
    };
    let samples: Vec<u8> = (0..64).collect();
    let pngs = [(Rgb, 3), (Rgba, 4), (Grayscale, 1), (GrayscaleAlpha, 2)]
        .map(|(color, channels)| png(4, 3, color, &samples[..12 * channels]));
    let indexed = png(2, 2, Indexed, &[0, 1, 1, 0]);
    let images = pngs.into_iter().chain([indexed]).chain(JPEGS.map(hexadecimal));
    let features = "image\tcaption\n0.5 1 -2\ta\n1e-3 0 7\tb\n";
    let named = "image\tcaption\nb.png\ta\n./b.png\tb\nb.png\tc\n";
    let twice = images.flat_map(|bytes| [seed(0, &bytes), seed(1, &bytes)]);
    twice.chain([seed(2, features), seed(2, named)]).collect()
}
