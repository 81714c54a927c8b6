//! What players play.

/// A WAV file of a minute of silence: PCM of 8000 octets a second.
#[must_use]
pub fn silence() -> Vec<u8> {
    const RATE: u32 = 8000;
    const LENGTH: u32 = 60 * RATE;
    let mut wave = b"RIFF".to_vec();
    wave.extend((36 + LENGTH).to_le_bytes());
    wave.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wave.extend([RATE.to_le_bytes(), RATE.to_le_bytes()].concat());
    wave.extend(b"\x01\0\x08\0data");
    wave.extend(LENGTH.to_le_bytes());
    wave.resize(wave.len() + LENGTH as usize, 0x80);
    wave
}
