//! One value for all rows: the bytes of its bits, little endian, without the zeros in front. A zero takes no byte,
//! a small integer two.

pub(super) const MOST_LEN: usize = 4;

pub(super) fn encode(value: f32, out: &mut Vec<u8>) {
    let bytes = value.to_bits().to_le_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    out.extend_from_slice(&bytes[zeros..]);
}

/// `payload` is at most [`MOST_LEN`] bytes.
pub(super) fn decode(payload: &[u8]) -> f32 {
    let mut bytes = [0; MOST_LEN];
    bytes[MOST_LEN - payload.len()..].copy_from_slice(payload);
    f32::from_bits(u32::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_takes_the_bytes_that_say_something() {
        for (value, len) in
            [(0.0, 0), (-0.0, 1), (1.0, 2), (100.0, 2), (-3.5, 2), (0.1, 4), (f32::INFINITY, 2)]
        {
            let mut payload = vec![];
            encode(value, &mut payload);
            assert_eq!(payload.len(), len, "{value}");
            assert_eq!(decode(&payload).to_bits(), f32::to_bits(value));
        }
    }
}
