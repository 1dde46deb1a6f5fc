//! Images and features: what is read, and bad input with the line that a person sees.

#![cfg(feature = "cli")]

#[path = "support/files.rs"]
mod files;

use files::Files;
use proptest::prelude::*;
use recurrent::data::{
    Columns, Image, Pictures, PixelScale, Source, Table,
    images::{PictureShape, load, parse_features},
};

/// The bytes of a PNG file.
fn png(width: u32, height: u32, color: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(samples).unwrap();
    bytes
}

/// JPEG files that another program wrote: 16x8, the left half (200, 30, 60) and the right half
/// (20, 40, 220); and 8x8 in grey, the left half 50 and the right half 180.
const COLOURED: &str = "\
    FFD8FFE000104A46494600010200000100010000FFC00011080008001003001100011101021101FF\
    DB004300020101010101020101010202020202040302020202050404030406050606060506060607\
    0908060709070606080B08090A0A0A0A0A06080B0C0B0A0C090A0A0AFFDB00430102020202020205\
    0303050A0706070A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A\
    0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0AFFC4001500010100000000000000000000000000000708\
    FFC40014100100000000000000000000000000000000FFC400150101010000000000000000000000\
    0000000906FFC40014110100000000000000000000000000000000FFDA0008010000003F0093C16F\
    FFDA0008010111003F0087358FFFDA0008010211003F0053027BFFD9";
const GREY: &str = "\
    FFD8FFE000104A46494600010200000100010000FFC0000B080008000801001100FFDB0043000201\
    01010101020101010202020202040302020202050404030406050606060506060607090806070907\
    0606080B08090A0A0A0A0A06080B0C0B0A0C090A0A0AFFDB004301020202020202050303050A0706\
    070A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A\
    0A0A0A0A0A0A0A0A0A0A0AFFC40014000100000000000000000000000000000006FFC40018100002\
    030000000000000000000000000000094785C5FFDA0008010000003F00168A253A3D03FFD9";
/// 16x16 in grey, noise: most of it are pixels.
const NOISE: &str = "\
    FFD8FFE000104A46494600010200000100010000FFC0000B080010001001001100FFDB004300140E\
    0F120F0D14121012171514181E32211E1C1C1E3D2C2E243249404C4B47404645505A736250556D56\
    45466488656D777B8182814E608D978C7D96737E817CFFDB0043011517171E1A1E3B21213B7C5346\
    537C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C7C\
    7C7C7C7C7C7C7C7C7C7C7CFFC400160001010100000000000000000000000000020003FFC4002210\
    00020202000603000000000000000000010203111221000413314161236271FFDA0008010000003F\
    0052C41259C988858917A25430A2CA6EC2915640F55AD78CDD9603714B823020044C3154D1C72344\
    D85395D8ABF5C28F092543CA89964372679623C82B641FA9ABC7F7B19A2E610375FE381CA95642E3\
    C5124936344EBBD03DEB7FFFD9";

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits = hexadecimal.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Reads a table with images beside it.
fn read(files: &Files, cells: &[&str]) -> Result<Pictures, String> {
    let rows: String = cells.iter().map(|cell| format!("{cell}\tx\n")).collect();
    let source: Source = files.put("pictures.tsv", format!("image\tcaption\n{rows}"));
    let table = Table::read(&source, &["image", "caption"], &Columns::default()).unwrap();
    Pictures::read(&source, &table, 0).map_err(|error| files.message(&error))
}

fn pixels(bytes: Vec<u8>) -> Vec<u8> {
    let files = Files::new();
    files.put("a.png", bytes);
    load(&files.path("a.png")).unwrap().pixels
}

#[test]
fn every_kind_of_png_becomes_red_green_and_blue() {
    use png::ColorType::{Grayscale, GrayscaleAlpha, Rgb, Rgba};
    assert_eq!(pixels(png(2, 1, Rgb, &[1, 2, 3, 4, 5, 6])), [1, 2, 3, 4, 5, 6]);
    assert_eq!(pixels(png(1, 2, Grayscale, &[7, 9])), [7, 7, 7, 9, 9, 9]);
    let alpha = [0, 100, 200, 255, 0, 100, 200, 0, 0, 100, 200, 51];
    let on_white = [0, 100, 200, 255, 255, 255, 204, 224, 244];
    assert_eq!(pixels(png(3, 1, Rgba, &alpha)), on_white);
    assert_eq!(pixels(png(2, 1, GrayscaleAlpha, &[8, 255, 8, 0])), [8, 8, 8, 255, 255, 255]);
}

#[test]
fn jpeg_files_are_read() {
    let files = Files::new();
    files.put("a.jpeg", bytes(COLOURED));
    files.put("b.JPG", bytes(GREY));
    let near = |image: Image, left: [u8; 3], right: [u8; 3]| {
        for (at, pixel) in image.pixels.chunks_exact(3).enumerate() {
            let expected = if at % image.width < image.width / 2 { left } else { right };
            let near = pixel.iter().zip(expected).all(|(&a, b)| a.abs_diff(b) <= 6);
            assert!(near, "position {at}: {pixel:?}, expected {expected:?}");
        }
    };
    let coloured = load(&files.path("a.jpeg")).unwrap();
    assert_eq!((coloured.width, coloured.height, coloured.channels), (16, 8, 3));
    near(coloured, [200, 30, 60], [20, 40, 220]);
    near(load(&files.path("b.JPG")).unwrap(), [50; 3], [180; 3]);
    files.put("c.jpg", bytes(NOISE));
    assert_eq!(load(&files.path("c.jpg")).unwrap().pixels.len(), 16 * 16 * 3);
}

#[test]
fn a_table_names_images_beside_it_and_each_is_read_once() {
    let files = Files::new();
    files.put("images/a.png", png(1, 1, png::ColorType::Rgb, &[1, 2, 3]));
    files.put("images/b.PNG", png(1, 1, png::ColorType::Grayscale, &[4]));
    let absolute = files.path("images/b.PNG");
    let read = read(&files, &["images/b.PNG", "images/a.png", absolute.to_str().unwrap()]).unwrap();
    let Pictures::Images { images, of_row } = &read else { panic!("{read:?}") };
    let pixels: Vec<_> = images.iter().map(|image| image.pixels.clone()).collect();
    assert_eq!((pixels, &of_row[..]), (vec![vec![4, 4, 4], vec![1, 2, 3]], &[0, 1, 0][..]));
    assert_eq!(read.shape(), PictureShape::Image { height: 1, width: 1 });
}

#[test]
fn images_that_are_missing_or_broken() {
    let files = Files::new();
    let whole = png(2, 1, png::ColorType::Rgb, &[1, 2, 3, 4, 5, 6]);
    files.put("a.png", &whole);
    assert_eq!(
        read(&files, &["a.png", "b.png"]).unwrap_err(),
        "pictures.tsv:3: the image b.png does not exist; a path is relative to the file that names \
         it"
    );
    let broken = |content: &[u8], reason: &str| {
        files.put("b.png", content);
        let message = read(&files, &["a.png", "b.png"]).unwrap_err();
        let expected = format!("pictures.tsv:3: the image b.png cannot be read: it {reason}");
        assert!(message.starts_with(&expected), "{message}");
    };
    broken(b"", "is empty");
    broken(b"GIF89a", "is neither a PNG nor a JPEG file inside; convert it to one");
    broken(&whole[..whole.len() - 20], "is a broken PNG file, save it anew: ");
    let jpeg = bytes(COLOURED);
    broken(&jpeg[..jpeg.len() / 2], "is a broken JPEG file, save it anew: ");
    // Cut off in the lower pixels; a lenient decoder makes them up.
    let noise = bytes(NOISE);
    broken(&noise[..noise.len() - 40], "is a broken JPEG file, save it anew: ");
    broken(&jpeg[..20], "is a broken JPEG file, save it anew: ");
    std::fs::create_dir(files.path("c.png")).unwrap();
    let folder = read(&files, &["a.png", "c.png"]).unwrap_err();
    assert!(folder.starts_with("pictures.tsv:3: the image c.png cannot be read: "), "{folder}");
}

#[test]
fn a_small_file_that_would_unfold_to_a_huge_image() {
    let files = Files::new();
    // The header of a PNG file, with another width and the checksum that belongs to it.
    let row = vec![0; 5000];
    files.put("a.png", png(5000, 1, png::ColorType::Grayscale, &row));
    let too_large = "it has 5000x1 pixels, at most 4096 a side are read; resize it";
    assert_eq!(
        read(&files, &["a.png"]).unwrap_err(),
        format!("pictures.tsv:2: the image a.png cannot be read: {too_large}")
    );
    let mut jpeg = bytes(GREY);
    // Height and width stand behind the marker FFC0, its length and its precision.
    let frame = jpeg.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 9].fill(0xFF);
    files.put("a.jpg", jpeg);
    assert!(read(&files, &["a.jpg"]).unwrap_err().contains("it has 65535x65535 pixels, at most"));
}

#[test]
fn images_of_other_sizes_and_other_pictures() {
    let files = Files::new();
    files.put("a.png", png(2, 1, png::ColorType::Grayscale, &[1, 2]));
    files.put("b.png", png(1, 2, png::ColorType::Grayscale, &[1, 2]));
    assert_eq!(
        read(&files, &["a.png", "a.png", "b.png"]).unwrap_err(),
        "pictures.tsv:4: the image b.png has 1x2 pixels, but a.png has 2x1; resize all images to \
         one size"
    );
    assert_eq!(
        read(&files, &["a.png", "1 2"]).unwrap_err(),
        "pictures.tsv:3: holds features, but the rows above hold images; a column is of images or \
         of features, not of both"
    );
    assert_eq!(
        read(&files, &["1 2", "a.png"]).unwrap_err(),
        "pictures.tsv:3: holds an image, but the rows above hold features; a column is of images \
         or of features, not of both"
    );
    for (first, row, cell) in [("a.png", 3, "a.gif"), ("1 2", 3, "1 NaN"), ("a bird", 2, "a bird")]
    {
        assert_eq!(
            read(&files, &[first, cell]).unwrap_err(),
            format!(
                "pictures.tsv:{row}: {cell:?} is neither the path of a .png, .jpg or .jpeg file \
                 nor a list of finite numbers separated by blanks"
            )
        );
    }
    let images = read(&files, &["a.png"]).unwrap();
    let expected = PictureShape::Features { size: 3 };
    assert_eq!(
        images.require("d.tsv", expected).unwrap_err().to_string(),
        "d.tsv: holds images of 2x1 pixels, but the model was trained with lists of 3 features"
    );
    assert!(images.require("d.tsv", images.shape()).is_ok());
}

#[test]
fn features_in_the_place_of_images() {
    let files = Files::new();
    let features = read(&files, &["1 -2.5", "0.25  1e2"]).unwrap();
    let vectors = vec![vec![1.0, -2.5], vec![0.25, 100.0]];
    assert_eq!(features, Pictures::Features { size: 2, vectors });
    assert_eq!(
        read(&files, &["1 2", "3 4 5"]).unwrap_err(),
        "pictures.tsv:3: has 3 features, but line 2 has 2; every list has the same length"
    );
    assert_eq!(parse_features(" 1 2 "), Some(vec![1.0, 2.0]));
    for none in ["", " ", "1 x", "inf", "1e39"] {
        assert_eq!(parse_features(none), None, "{none:?}");
    }
}

fn image(pixels: Vec<u8>) -> Image {
    Image { height: 1, width: pixels.len() / 3, channels: 3, pixels }
}

#[test]
fn a_channel_without_variation_is_not_divided() {
    let scale = PixelScale::of([&image(vec![0, 7, 1, 4, 7, 1])]);
    assert_eq!(scale, PixelScale { mean: [2.0, 7.0, 1.0], deviation: [2.0, 1.0, 1.0] });
    let other = image(vec![6, 8, 0]);
    assert_eq!(scale.standardize(&[&other]), [2.0, 1.0, -1.0]);
    let stored = serde_json::to_string(&scale).unwrap();
    assert_eq!(serde_json::from_str::<PixelScale>(&stored).unwrap(), scale);
}

proptest! {
    #[test]
    fn training_pixels_have_mean_0_and_deviation_1(
        images in prop::collection::vec(prop::collection::vec(any::<u8>(), 12), 1..5),
    ) {
        let images: Vec<Image> = images.into_iter().map(image).collect();
        let scale = PixelScale::of(&images);
        let pixels = scale.standardize(&images.iter().collect::<Vec<_>>());
        for channel in 0..3 {
            let values: Vec<f64> =
                pixels.iter().skip(channel).step_by(3).map(|&value| value.into()).collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
            prop_assert!(mean.abs() < 1e-4, "mean {mean}");
            prop_assert!((variance - 1.0).abs() < 1e-4 || variance == 0.0, "variance {variance}");
        }
    }

    #[test]
    fn a_png_file_comes_back(width in 1_u32..5, height in 1_u32..5, seed in any::<u8>()) {
        let size = width * height * 3;
        let samples: Vec<u8> = (0..size).map(|at| seed.wrapping_mul(at as u8)).collect();
        prop_assert_eq!(pixels(png(width, height, png::ColorType::Rgb, &samples)), samples);
    }

    #[test]
    fn no_bytes_make_it_panic(
        noise in prop::collection::vec(any::<u8>(), 0..40),
        which in 0..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut content = match which {
            0 => noise,
            1 => png(3, 2, png::ColorType::Rgba, &[5; 24]),
            2 => bytes(GREY),
            _ => bytes(COLOURED),
        };
        for (at, value) in changes {
            if !content.is_empty() {
                let at = at.index(content.len());
                content[at] = value;
            }
        }
        let files = Files::new();
        files.put("a.png", content);
        if let Ok(image) = load(&files.path("a.png")) {
            prop_assert_eq!(image.pixels.len(), image.height * image.width * image.channels);
        }
    }
}
