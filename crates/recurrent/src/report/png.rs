//! Small pictures inside the page: PNG as a `data:` address.

use crate::data::Image;

/// No picture of a page has a longer side.
const LONGEST_SIDE: usize = 160;

/// The drawing as the address of an `img`; large ones are made smaller by means over blocks.
pub fn of_image(image: &Image) -> String {
    let (height, width, pixels) = reduced(image);
    encoded(width, height, &pixels, |header| header.set_color(png::ColorType::Rgb))
}

/// Shares from 0 to 1, row after row, as one colour that is the less transparent the larger they
/// are: good on any background. Numbers that are none are nothing.
///
/// # Panics
/// If there are not `width` times `height` shares.
#[track_caller]
pub fn of_shares(width: usize, height: usize, shares: &[f32]) -> String {
    /// Blue that stands out from white and from black.
    const COLOUR: [u8; 3] = [0x2B, 0x84, 0xD6];
    assert_eq!(shares.len(), width * height, "{width} x {height} shares");
    let levels: Vec<u8> =
        shares.iter().map(|share| (share.clamp(0.0, 1.0) * 255.0) as u8).collect();
    encoded(width, height, &levels, |header| {
        header.set_color(png::ColorType::Indexed);
        header.set_palette(COLOUR.repeat(256));
        header.set_trns((0..=255).collect::<Vec<u8>>());
    })
}

fn encoded(
    width: usize,
    height: usize,
    pixels: &[u8],
    set: impl FnOnce(&mut png::Encoder<'_, &mut Vec<u8>>),
) -> String {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    set(&mut encoder);
    // Memory takes every byte, and the sizes are those of the pixels.
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(pixels));
    match written {
        Ok(()) => format!("data:image/png;base64,{}", base64(&bytes)),
        Err(_) => "data:,".into(),
    }
}

/// Rows, columns and pixels of the image, none of whose sides is too long.
fn reduced(image: &Image) -> (usize, usize, Vec<u8>) {
    let &Image { height, width, channels, ref pixels } = image;
    let block = height.max(width).div_ceil(LONGEST_SIDE).max(1);
    let (rows, columns) = (height.div_ceil(block), width.div_ceil(block));
    let mut small = Vec::with_capacity(rows * columns * channels);
    for row in 0..rows {
        for column in 0..columns {
            let ys = row * block..((row + 1) * block).min(height);
            let xs = column * block..((column + 1) * block).min(width);
            let count = (ys.len() * xs.len()) as u32;
            for channel in 0..channels {
                let of_row = |y: usize| {
                    let at = |x: usize| u32::from(pixels[(y * width + x) * channels + channel]);
                    xs.clone().map(at).sum::<u32>()
                };
                small.push((ys.clone().map(of_row).sum::<u32>() / count) as u8);
            }
        }
    }
    (rows, columns, small)
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for sign in 0..4 {
            match sign <= group.len() {
                true => text.push(char::from(SIGNS[(bits >> (18 - 6 * sign) & 63) as usize])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"];
        let expected = ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"];
        assert_eq!(texts.map(|text| base64(text.as_bytes())), expected);
    }

    #[test]
    fn a_large_image_is_made_smaller_by_means() {
        let pixels = (0..320 * 200 * 3).map(|at| if at / 3 % 2 == 0 { 10 } else { 30 }).collect();
        let image = Image { height: 200, width: 320, channels: 3, pixels };
        let (rows, columns, small) = reduced(&image);
        assert_eq!((rows, columns, small.len()), (100, 160, 100 * 160 * 3));
        assert!(small.iter().all(|&value| value == 20));
    }

    #[test]
    fn shares_are_a_picture_whatever_they_are() {
        let address = of_shares(2, 2, &[0.0, 1.0, f32::NAN, 7.0]);
        assert!(address.starts_with("data:image/png;base64,iVBOR"), "{address}");
    }
}
