//! From the bytes of a PNG or JPEG file to pixels. A file is not trusted: its size is looked at
//! before anything of that size is allocated.

use super::{Image, LONGEST_SIDE};
use std::{io::Cursor, panic};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The image, or what is wrong with the bytes.
pub(super) fn image(bytes: &[u8]) -> Result<Image, String> {
    match bytes {
        [] => Err("it is empty".to_owned()),
        [0x89, b'P', b'N', b'G', ..] => png(bytes),
        [0xFF, 0xD8, 0xFF, ..] => jpeg(bytes),
        _ => Err("it is neither a PNG nor a JPEG file inside; convert it to one".to_owned()),
    }
}

fn png(bytes: &[u8]) -> Result<Image, String> {
    let broken =
        |error: png::DecodingError| format!("it is a broken PNG file, save it anew: {error}");
    // Also bounds what compressed notes in the file may unfold to.
    let limits = png::Limits { bytes: 4 * LONGEST_SIDE * LONGEST_SIDE };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let header = decoder.read_header_info().map_err(broken)?;
    let (width, height) = size(header.width as usize, header.height as usize)?;
    let mut reader = decoder.read_info().map_err(broken)?;
    let too_large = || "it is too large for this machine".to_owned();
    let mut samples = vec![0; reader.output_buffer_size().ok_or_else(too_large)?];
    let frame = reader.next_frame(&mut samples).map_err(broken)?;
    samples.truncate(frame.buffer_size());
    let pixels = match frame.color_type {
        png::ColorType::Rgb => samples,
        png::ColorType::Rgba => samples
            .chunks_exact(4)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2]].map(|value| on_white(value, pixel[3])))
            .collect(),
        png::ColorType::Grayscale => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => {
            samples.chunks_exact(2).flat_map(|pixel| [on_white(pixel[0], pixel[1]); 3]).collect()
        }
        png::ColorType::Indexed => return Err("its palette cannot be read".to_owned()),
    };
    checked(height, width, pixels)
}

fn jpeg(bytes: &[u8]) -> Result<Image, String> {
    // The decoder overflows on some broken files, which is a panic where overflows are checked.
    panic::catch_unwind(|| decode_jpeg(bytes))
        .unwrap_or_else(|_| Err("it is a broken JPEG file, save it anew".to_owned()))
}

fn decode_jpeg(bytes: &[u8]) -> Result<Image, String> {
    // Some of the decoder's reasons have several lines.
    let broken = |error| {
        let reason = format!("{error:?}");
        let reason: Vec<&str> = reason.split_whitespace().collect();
        format!("it is a broken JPEG file, save it anew: {}", reason.join(" "))
    };
    // Strict: else a file that is cut off becomes an image with a grey lower part.
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(broken)?;
    let info = decoder.info().ok_or("it is a JPEG file without a header")?;
    let (width, height) = size(info.width.into(), info.height.into())?;
    checked(height, width, decoder.decode().map_err(broken)?)
}

/// Width and height, unless they are too large.
fn size(width: usize, height: usize) -> Result<(usize, usize), String> {
    if width.max(height) <= LONGEST_SIDE {
        return Ok((width, height));
    }
    Err(format!(
        "it has {width}x{height} pixels, at most {LONGEST_SIDE} a side are read; resize it"
    ))
}

/// A value of 0 to 255 with white behind it, where it is not opaque.
fn on_white(value: u8, opacity: u8) -> u8 {
    let (value, opacity) = (u32::from(value), u32::from(opacity));
    ((value * opacity + 255 * (255 - opacity) + 127) / 255) as u8
}

/// An image whose decoder kept what its header said.
fn checked(height: usize, width: usize, pixels: Vec<u8>) -> Result<Image, String> {
    const CHANNELS: usize = 3;
    if pixels.is_empty() || pixels.len() != height * width * CHANNELS {
        return Err(format!("it holds {} numbers for {width}x{height} pixels", pixels.len()));
    }
    Ok(Image { height, width, channels: CHANNELS, pixels })
}
