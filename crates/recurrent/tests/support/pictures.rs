//! Small images for tests of tasks that look at them.

use std::fs::File;

use crate::place::Place;

/// Writes an image of this size in one colour.
pub(crate) fn paint(place: &Place, name: &str, (width, height): (u32, u32), rgb: [u8; 3]) {
    let mut encoder = png::Encoder::new(File::create(place.path(name)).unwrap(), width, height);
    encoder.set_color(png::ColorType::Rgb);
    let pixels = rgb.repeat((width * height) as usize);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// Shades of three colours, as `{colour}{number}.png` of 8 x 8 pixels: name and colour of each.
pub(crate) fn shades(place: &Place, numbers: std::ops::Range<u8>) -> Vec<(String, &'static str)> {
    let colours = ["red", "green", "blue"];
    let mut painted = vec![];
    for number in numbers {
        for (channel, colour) in colours.into_iter().enumerate() {
            let mut rgb = [10 + 3 * number; 3];
            rgb[channel] = 255 - 5 * number;
            let name = format!("{colour}{number}.png");
            paint(place, &name, (8, 8), rgb);
            painted.push((name, colour));
        }
    }
    painted
}
