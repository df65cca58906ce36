//! Points of curve25519 (RFC 7748) whose multiplier nobody knows. That takes a few
//! operations modulo its prime. Ours are slow and small; the library curve25519-dalek
//! would add 13 KiB on MIPS. They need not take constant time: nothing here is a secret.

#[cfg(target_pointer_width = "64")]
mod width {
    pub type Limb = u64;
    pub type Wide = u128;
    pub type SignedWide = i128;
}
#[cfg(not(target_pointer_width = "64"))]
mod width {
    pub type Limb = u32;
    pub type Wide = u64;
    pub type SignedWide = i64;
}
use width::{Limb, SignedWide, Wide};

const LIMBS: usize = 256 / Limb::BITS as usize;

/// A number modulo 2^255 - 19, lowest limb first; any of those below 2^256 that
/// stand for it.
#[derive(Clone, Copy)]
struct Element([Limb; LIMBS]);

/// What an X25519 public key is: the u-coordinate of a point in the subgroup of
/// the base point, each as likely as the other.
pub(super) fn random_point(fill_random: &mut dyn FnMut(&mut [u8])) -> [u8; 32] {
    let a = Element::small(486_662);
    loop {
        let mut bytes = [0; 32];
        fill_random(&mut bytes);
        let u = Element::from_bytes(bytes);
        // u^3 + A u^2 + u is the square of the other coordinate, if it is one.
        let square = u.mul(u.mul(u).add(a.mul(u)).add(Element::small(1)));
        // Eight times any point is in the subgroup.
        let (mut x, mut z) = (u, Element::small(1));
        if square.power(HALF).to_bytes() != Element::small(1).to_bytes() {
            continue;
        }
        for _ in 0..3 {
            let (xx, xz, zz) = (x.mul(x), x.mul(z), z.mul(z));
            let difference = xx.sub(zz);
            x = difference.mul(difference);
            z = xz.mul(Element::small(4)).mul(xx.add(a.mul(xz)).add(zz));
        }
        return x.mul(z.power(INVERSE)).to_bytes();
    }
}

/// An exponent's lowest byte and its highest; those between are 0xff.
type Exponent = (u8, u8);
/// (p - 1) / 2: 1 for squares.
const HALF: Exponent = (0xf6, 0x3f);
/// p - 2.
const INVERSE: Exponent = (0xeb, 0x7f);

impl Element {
    fn small(number: Limb) -> Self {
        Self(std::array::from_fn(|at| if at == 0 { number } else { 0 }))
    }

    fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; LIMBS];
        let (chunks, _) = bytes.as_chunks();
        for (limb, chunk) in limbs.iter_mut().zip(chunks) {
            *limb = Limb::from_le_bytes(*chunk);
        }
        Self(limbs)
    }

    /// The smallest number that stands for it.
    fn to_bytes(self) -> [u8; 32] {
        // p more carries into bit 255 if it is p or more, and once again if it
        // is twice that.
        let mut number = self;
        for _ in 0..2 {
            let mut more = number;
            let mut carry: Wide = 19;
            for limb in &mut more.0 {
                carry += Wide::from(*limb);
                *limb = carry as Limb;
                carry >>= Limb::BITS;
            }
            let top = more.0.last().map_or(0, |limb| limb >> (Limb::BITS - 1));
            if carry > 0 || top > 0 {
                // Less 2^255.
                if let Some(limb) = more.0.last_mut() {
                    *limb ^= 1 << (Limb::BITS - 1);
                }
                number = more;
            }
        }
        let mut bytes = [0; 32];
        let (chunks, _) = bytes.as_chunks_mut();
        for (chunk, limb) in chunks.iter_mut().zip(number.0) {
            *chunk = limb.to_le_bytes();
        }
        bytes
    }

    fn add(self, other: Self) -> Self {
        self.combine(other, 1)
    }

    fn sub(self, other: Self) -> Self {
        self.combine(other, -1)
    }

    fn combine(mut self, other: Self, sign: SignedWide) -> Self {
        let mut carry = 0;
        for (limb, other) in self.0.iter_mut().zip(other.0) {
            carry += SignedWide::from(*limb) + sign * SignedWide::from(other);
            *limb = carry as Limb;
            carry >>= Limb::BITS;
        }
        self.fold(carry)
    }

    /// With `carry` times 2^256, which stands for 38. What that carries is less.
    fn fold(mut self, mut carry: SignedWide) -> Self {
        for _ in 0..2 {
            carry *= 38;
            for limb in &mut self.0 {
                carry += SignedWide::from(*limb);
                *limb = carry as Limb;
                carry >>= Limb::BITS;
            }
        }
        self
    }

    fn mul(self, other: Self) -> Self {
        let mut low = [0; LIMBS];
        let mut high = [0; LIMBS];
        for (at, factor) in self.0.into_iter().enumerate() {
            let mut carry: Wide = 0;
            let places = low.iter_mut().chain(&mut high).skip(at);
            // One place more, for the last carry.
            let digits = other.0.into_iter().chain([0]);
            for (place, digit) in places.zip(digits) {
                carry += Wide::from(factor) * Wide::from(digit) + Wide::from(*place);
                *place = carry as Limb;
                carry >>= Limb::BITS;
            }
        }
        let mut carry: Wide = 0;
        for (low, high) in low.iter_mut().zip(high) {
            carry += Wide::from(high) * 38 + Wide::from(*low);
            *low = carry as Limb;
            carry >>= Limb::BITS;
        }
        Self(low).fold(carry as SignedWide)
    }

    fn power(self, (lowest, highest): Exponent) -> Self {
        let mut result = Self::small(1);
        for bit in (0..255).rev() {
            let byte = match bit / 8 {
                0 => lowest,
                31 => highest,
                _ => 0xff,
            };
            result = result.mul(result);
            if byte >> (bit % 8) & 1 == 1 {
                result = result.mul(self);
            }
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use curve25519_dalek::MontgomeryPoint;
    use proptest::prelude::*;

    use super::*;
    use crate::server_hello::tests::counting;

    #[test]
    fn every_point_is_in_the_base_points_subgroup() {
        let mut random = counting();
        for _ in 0..20 {
            let point = MontgomeryPoint(random_point(&mut random));
            let edwards = point.to_edwards(0).unwrap();
            assert!(edwards.is_torsion_free());
            assert_eq!(edwards.to_montgomery().0, point.0, "not the smallest form");
        }
    }

    /// Three doublings, by another's hand.
    #[test]
    fn it_is_eight_times_the_point_that_was_drawn() {
        let base = curve25519_dalek::constants::X25519_BASEPOINT;
        let drawn = base.mul_clamped([5; 32]);
        let point = random_point(&mut |bytes| bytes.copy_from_slice(&drawn.0));
        let edwards = drawn.to_edwards(0).unwrap().mul_by_cofactor();
        assert_eq!(point, edwards.to_montgomery().0);
    }

    #[test]
    fn numbers_of_no_point_are_drawn_again() {
        let base = curve25519_dalek::constants::X25519_BASEPOINT;
        let mut small = (2..).map(|first| {
            let mut bytes = [0; 32];
            bytes[0] = first;
            bytes
        });
        let twist = small
            .find(|u| MontgomeryPoint(*u).to_edwards(0).is_none())
            .unwrap();
        let mut draws = vec![base.0, twist, twist];
        let point = random_point(&mut |bytes| bytes.copy_from_slice(&draws.pop().unwrap()));
        assert!(draws.is_empty());
        assert!(MontgomeryPoint(point).to_edwards(0).is_some());
    }

    /// Numbers of 256 bits, many of them near a multiple of the prime.
    fn number() -> impl Strategy<Value = [u8; 32]> {
        let edge = (any::<bool>(), any::<u8>()).prop_map(|(high, low)| {
            let mut bytes = [0xff; 32];
            bytes[0] = low;
            bytes[31] = if high { 0xff } else { 0x7f };
            bytes
        });
        let small = any::<u8>().prop_map(|low| {
            let mut bytes = [0; 32];
            bytes[0] = low;
            bytes
        });
        prop_oneof![any::<[u8; 32]>(), edge, small]
    }

    /// Modulo the prime, a byte at a time: slow and plain.
    fn plain(wide: &[u64]) -> [u8; 32] {
        let mut digits: Vec<u64> = wide.to_vec();
        digits.resize(70, 0);
        for _ in 0..6 {
            let mut carry = 0;
            for digit in &mut digits {
                carry += *digit;
                *digit = carry & 0xff;
                carry >>= 8;
            }
            let high: Vec<u64> = digits.drain(32..).collect();
            digits.resize(70, 0);
            for (at, digit) in high.into_iter().enumerate() {
                digits[at] += 38 * digit;
            }
        }
        let mut bytes: [u8; 32] = std::array::from_fn(|at| digits[at] as u8);
        let mut prime = [0xff; 32];
        (prime[0], prime[31]) = (0xed, 0x7f);
        while bytes.iter().rev().ge(prime.iter().rev()) {
            let mut borrow = 0;
            for (byte, prime) in bytes.iter_mut().zip(prime) {
                let left = i32::from(*byte) - i32::from(prime) - borrow;
                *byte = left as u8;
                borrow = i32::from(left < 0);
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn arithmetic_is_that_of_plain_digits(a in number(), b in number()) {
            let (x, y) = (Element::from_bytes(a), Element::from_bytes(b));
            let digits = |bytes: [u8; 32]| bytes.map(u64::from);
            let sum: Vec<_> = digits(a).iter().zip(digits(b)).map(|(a, b)| a + b).collect();
            let mut product = [0; 64];
            for (i, a) in digits(a).into_iter().enumerate() {
                for (j, b) in digits(b).into_iter().enumerate() {
                    product[i + j] += a * b;
                }
            }
            prop_assert_eq!(x.to_bytes(), plain(&digits(a)));
            prop_assert_eq!(x.add(y).to_bytes(), plain(&sum));
            prop_assert_eq!(x.mul(y).to_bytes(), plain(&product));
            prop_assert_eq!(x.sub(y).add(y).to_bytes(), x.to_bytes());
        }
    }
}
