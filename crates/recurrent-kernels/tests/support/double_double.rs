//! exp, sigmoid and tanh in double-double arithmetic: the truth for results in `f64`.
//!
//! A number is an unevaluated sum of two `f64`, about 106 bits. The arithmetic is Dekker's and
//! Knuth's (T. J. Dekker, "A floating-point technique for extending the available precision",
//! 1971), with fused multiply-add for the product's error.

#[derive(Clone, Copy)]
struct Wide(f64, f64);

/// ln 2 to 160 bits.
const LN_2: [f64; 3] =
    [std::f64::consts::LN_2, 2.319_046_813_846_299_6e-17, 5.707_708_438_416_212e-34];

impl Wide {
    fn sum(a: f64, b: f64) -> Wide {
        let s = a + b;
        let t = s - a;
        Wide(s, (a - (s - t)) + (b - t))
    }
    fn product(a: f64, b: f64) -> Wide {
        let p = a * b;
        Wide(p, a.mul_add(b, -p))
    }
    fn add(self, other: Wide) -> Wide {
        let (high, low) = (Wide::sum(self.0, other.0), Wide::sum(self.1, other.1));
        let first = Wide::sum(high.0, high.1 + low.0);
        Wide::sum(first.0, first.1 + low.1)
    }
    fn mul(self, other: Wide) -> Wide {
        let p = Wide::product(self.0, other.0);
        Wide::sum(p.0, p.1 + (self.0 * other.1 + self.1 * other.0))
    }
    fn div(self, other: Wide) -> Wide {
        // Long division: each quotient digit removes 53 bits of the remainder.
        let mut quotient = Wide(0.0, 0.0);
        let mut rest = self;
        for _ in 0..3 {
            let digit = rest.0 / other.0;
            quotient = quotient.add(Wide(digit, 0.0));
            rest = rest.add(other.mul(Wide(-digit, 0.0)));
        }
        quotient
    }
    fn scale(self, exponent: i32) -> Wide {
        Wide(libm::ldexp(self.0, exponent), libm::ldexp(self.1, exponent))
    }
}

/// `e^x` as a mantissa and a power of two: Taylor's series of `r / 512`, squared nine times.
fn exp(x: f64) -> (Wide, i32) {
    let n = (x / LN_2[0]).round();
    let mut r = Wide(x, 0.0);
    for part in LN_2 {
        r = r.add(Wide::product(-n, part));
    }
    let r = r.scale(-9);
    // The series of e^r - 1, which keeps its relative accuracy through f(2r) = f (f + 2).
    let mut less_one = Wide(0.0, 0.0);
    for k in (1..=12).rev() {
        less_one = r.div(Wide(f64::from(k), 0.0)).mul(less_one.add(Wide(1.0, 0.0)));
    }
    for _ in 0..9 {
        less_one = less_one.mul(less_one.add(Wide(2.0, 0.0)));
    }
    (less_one.add(Wide(1.0, 0.0)), n as i32)
}

/// The exact value of exp (0), sigmoid (1) or tanh (2) as a mantissa and a power of two.
fn exact(function: usize, x: f64) -> (Wide, i32) {
    let one = Wide(1.0, 0.0);
    match function {
        0 => exp(x.clamp(-800.0, 800.0)),
        1 => {
            let (e, n) = exp(-x.abs().min(800.0));
            let whole = e.scale(n).add(one);
            if x < 0.0 { (e.div(whole), n) } else { (one.div(whole), 0) }
        }
        _ if x.abs() < 1e-4 => {
            // x - x^3/3 + 2x^5/15 - 17x^7/315: the next term is below 2^-100 of x.
            let z = Wide::product(x, x);
            let mut tail = Wide(0.0, 0.0);
            for (numerator, denominator) in [(-17.0, 315.0), (2.0, 15.0), (-1.0, 3.0)] {
                let term = Wide(numerator, 0.0).div(Wide(denominator, 0.0));
                tail = tail.add(term).mul(z);
            }
            (Wide(x, 0.0).mul(tail).add(Wide(x, 0.0)), 0)
        }
        _ => {
            let y = x.abs().min(40.0);
            let (e, n) = exp(2.0 * y);
            let e = e.scale(n);
            let t = e.add(Wide(-1.0, 0.0)).div(e.add(one));
            (if x < 0.0 { Wide(-t.0, -t.1) } else { t }, 0)
        }
    }
}

/// The distance of `result` from the exact value in units in the last place of that value.
pub(crate) fn ulp_error(function: usize, x: f64, result: f64) -> f64 {
    let (truth, n) = exact(function, x);
    if truth.0 == 0.0 {
        return if result == 0.0 { 0.0 } else { f64::INFINITY };
    }
    let exponent = libm::ilogb(truth.0) + n;
    if exponent >= 1024 {
        return if result == f64::INFINITY { 0.0 } else { f64::INFINITY };
    }
    // Both are brought to the scale where one unit in the last place is 1. A subnormal result
    // has the spacing of the smallest normal numbers.
    let spacing = exponent.max(-1022) - 52;
    let truth = truth.scale(n - spacing);
    let difference = Wide(libm::ldexp(result, -spacing), 0.0).add(Wide(-truth.0, -truth.1));
    (difference.0 + difference.1).abs()
}
