"""Draws the files of the image goldens: every colour mode, odd sizes, damaged files. Name -> bytes, deterministic."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

XMP = (b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
       b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>')


def smooth(h, w, channels=3, seed=0, waves=3):
    """Slow waves with a few edges: compresses well, and every channel and corner differs."""
    rng = np.random.default_rng(1000 + seed)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    y, x = y / max(h - 1, 1), x / max(w - 1, 1)
    out = np.empty((h, w, channels), np.uint8)
    for c in range(channels):
        total = np.zeros((h, w))
        for _ in range(waves):
            a, b, phase = rng.uniform(-6, 6), rng.uniform(-6, 6), rng.uniform(0, 7)
            total += np.sin(a * x + b * y + phase)
        total += np.where((x + 0.3 * c) % 0.5 < 0.1, 0.6, 0.0) + np.where(y < 0.2, 0.5 * c, 0.0)
        out[..., c] = np.clip(127 + 60 * total, 0, 255).astype(np.uint8)
    return out


def drawing(h, w, mode="RGB", seed=0):
    bands = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    data = smooth(h, w, bands, seed)
    return Image.frombytes(mode, (w, h), data.tobytes())


def encode(image, form, **options):
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def tiff(orientation, order="II", kind=3, count=1, padding=0, entries_before=1):
    """A TIFF block whose first directory holds a few tags and the orientation."""
    e = "<" if order == "II" else ">"
    rows = [struct.pack(e + "HHII", 0x0100 + i, 4, 1, 640) for i in range(entries_before)]
    value = {3: struct.pack(e + "HH", orientation, 0), 4: struct.pack(e + "I", orientation), 1: struct.pack("BBBB", orientation, 0, 0, 0)}[kind]
    rows.append(struct.pack(e + "HHI", 0x0112, kind, count) + value)
    body = struct.pack(e + "H", len(rows)) + b"".join(rows) + struct.pack(e + "I", 0)
    return order.encode() + struct.pack(e + "HI", 42, 8 + padding) + b"\0" * padding + body


def after_soi(jpeg, *segments):
    """Puts segments (marker, payload) right after the start of a JPEG."""
    extra = b"".join(struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data for marker, data in segments)
    return jpeg[:2] + extra + jpeg[2:]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _pack_row(samples, depth):
    if depth == 16:
        return samples.astype(">u2").tobytes()
    if depth == 8:
        return samples.astype(np.uint8).tobytes()
    bits = ((samples.reshape(-1, 1) >> np.arange(depth - 1, -1, -1)) & 1).astype(np.uint8).reshape(-1)
    return np.packbits(bits).tobytes()


def png(samples, depth, colour, before=b"", after=b"", interlaced=False, pieces=1, size=None):
    """samples: [h, w, channels] integers below 2^depth. Adam7 and several IDATs on request; every filter type is used."""
    h, w, channels = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    step = max(1, depth * channels // 8)
    raw = bytearray()
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        if part.shape[0] == 0 or part.shape[1] == 0:
            continue
        previous = None
        for i, row in enumerate(part):
            line = np.frombuffer(_pack_row(row.reshape(-1), depth), np.uint8).astype(np.int64)
            left = np.concatenate([np.zeros(min(step, len(line)), np.int64), line[:-step]]) if len(line) > step else np.zeros_like(line)
            up = np.zeros_like(line) if previous is None else previous
            kind = i % 4 if depth >= 8 else 0
            predicted = [0, left, up, (left + up) // 2][kind]
            raw += bytes([kind]) + ((line - predicted) & 255).astype(np.uint8).tobytes()
            previous = line
    data = zlib.compress(bytes(raw), 9)
    cuts = [len(data) * i // pieces for i in range(pieces + 1)]
    width, height = size or (w, h)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + before
            + b"".join(chunk(b"IDAT", data[a:b]) for a, b in zip(cuts, cuts[1:])) + after + chunk(b"IEND", b""))


def scaled(h, w, channels, depth, seed=0):
    """smooth(), in 2^depth steps; 16-bit samples get noise in the low byte."""
    data = smooth(h, w, channels, seed).astype(np.int64)
    if depth == 16:
        return data * 256 + np.random.default_rng(seed).integers(0, 256, data.shape)
    return data >> (8 - depth)


def riff(*chunks):
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) & 1) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def webp_chunks(data):
    at, found = 12, []
    while at + 8 <= len(data):
        size = struct.unpack("<I", data[at + 4:at + 8])[0]
        found.append((data[at:at + 4], data[at + 8:at + 8 + size]))
        at += 8 + size + (size & 1)
    return found


def jpegs():
    files = {}
    sizes = [(1, 1), (1, 200), (200, 1), (2, 3), (3, 2), (17, 31), (31, 33), (32, 32), (33, 64), (63, 97), (255, 257), (256, 256),
             (480, 640), (272, 720), (112, 1000), (40, 1999), (700, 525)]
    for h, w in sizes:
        files[f"jpeg_420_{w}x{h}.jpg"] = encode(drawing(h, w, seed=h), "JPEG", quality=80)
    for sampling in ("4:2:0", "4:2:2", "4:4:4"):
        for progressive in (False, True):
            name = f"jpeg_{sampling.replace(':', '')}_{'progressive' if progressive else 'baseline'}_75x53.jpg"
            files[name] = encode(drawing(53, 75, seed=7), "JPEG", quality=90, subsampling=sampling, progressive=progressive)
    files["jpeg_4000x1500.jpg"] = encode(drawing(1500, 4000, seed=8), "JPEG", quality=25, optimize=True)
    files["jpeg_gray.jpg"] = encode(drawing(90, 60, "L"), "JPEG", quality=85)
    files["jpeg_gray_progressive.jpg"] = encode(drawing(61, 90, "L"), "JPEG", quality=85, progressive=True)
    files["jpeg_rgb_adobe.jpg"] = encode(drawing(50, 70), "JPEG", quality=90, keep_rgb=True)
    files["jpeg_restart.jpg"] = encode(drawing(50, 70), "JPEG", quality=70, restart_marker_blocks=3)
    cmyk = encode(drawing(66, 45, "CMYK"), "JPEG", quality=90)
    files["jpeg_cmyk.jpg"] = cmyk
    at = cmyk.index(b"Adobe")
    files["jpeg_ycck.jpg"] = cmyk[:at + 11] + b"\x02" + cmyk[at + 12:]  # the transform byte; the data is read as YCCK
    files["jpeg_cmyk_without_adobe.jpg"] = cmyk[:at - 4] + cmyk[at + 12:]
    files["jpeg_cmyk_progressive.jpg"] = encode(drawing(40, 57, "CMYK"), "JPEG", quality=70, progressive=True)
    plain = encode(drawing(40, 64, seed=3), "JPEG", quality=85)
    for orientation in range(1, 9):
        block = tiff(orientation, "II" if orientation % 2 else "MM")
        files[f"exif_{orientation}.jpg"] = after_soi(plain, (0xE1, b"Exif\0\0" + block))
    odd = {"0": tiff(0), "9": tiff(9), "long": tiff(6, kind=4), "byte": tiff(6, kind=1), "two_values": tiff(6, count=2),
           "far": tiff(6, padding=300), "cut_directory": tiff(6, entries_before=3)[:-20], "twice_prefixed": b"Exif\0\0" + tiff(8, "MM")}
    for name, block in odd.items():
        files[f"exif_{name}.jpg"] = after_soi(plain, (0xE1, b"Exif\0\0" + block))
    files["exif_two_segments.jpg"] = after_soi(plain, (0xE1, b"Exif\0\0" + tiff(6)[:15]), (0xE1, b"Exif\0\0" + tiff(6)[15:]))
    files["exif_after_jfif.jpg"] = after_soi(plain, (0xEC, b"Ducky"), (0xE1, b"Exif\0\0" + tiff(3)))
    files["exif_none_xmp_6.jpg"] = after_soi(plain, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 6))
    files["exif_3_xmp_6.jpg"] = after_soi(plain, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP % 6), (0xE1, b"Exif\0\0" + tiff(3)))
    files["jpeg_damaged_middle.jpg"] = plain[:len(plain) // 2] + b"\x55\xaa" * 6 + plain[len(plain) // 2 + 12:]
    return files


def pngs():
    files = {}
    for depth in (1, 2, 4, 8, 16):
        files[f"png_gray{depth}.png"] = png(scaled(37, 53, 1, depth), depth, 0)
        if depth <= 8:
            levels = min(2 ** depth, 200)
            palette = chunk(b"PLTE", smooth(1, levels, 3, 5).tobytes())
            index = scaled(37, 53, 1, depth, 2) % levels
            files[f"png_palette{depth}.png"] = png(index, depth, 3, palette)
            alpha = chunk(b"tRNS", bytes((i * 37) & 255 for i in range(max(1, levels // 2))))
            files[f"png_palette{depth}_trns.png"] = png(index, depth, 3, palette + alpha)
    for depth in (8, 16):
        files[f"png_rgb{depth}.png"] = png(scaled(37, 53, 3, depth), depth, 2)
        files[f"png_rgba{depth}.png"] = png(scaled(37, 53, 4, depth), depth, 6)
        files[f"png_gray_alpha{depth}.png"] = png(scaled(37, 53, 2, depth), depth, 4)
    flat = scaled(20, 40, 3, 8) & 0xC0
    files["png_rgb8_trns.png"] = png(flat, 8, 2, chunk(b"tRNS", struct.pack(">3H", *flat[10, 20])))
    gray = scaled(20, 40, 1, 4)
    files["png_gray4_trns.png"] = png(gray, 4, 0, chunk(b"tRNS", struct.pack(">H", int(gray[10, 20, 0]))))
    files["png_gray8_trns.png"] = png(gray * 16, 8, 0, chunk(b"tRNS", struct.pack(">H", int(gray[10, 20, 0]) * 16)))
    files["png_palette4_index_beyond.png"] = png(scaled(37, 53, 1, 4), 4, 3, chunk(b"PLTE", smooth(1, 5, 3).tobytes()))
    files["png_gamma_chroma.png"] = png(scaled(37, 53, 3, 8), 8, 2, chunk(b"gAMA", struct.pack(">I", 45455)) + chunk(b"sRGB", b"\0"))
    for name, (samples, depth, colour, before) in {
            "rgb8": (scaled(45, 67, 3, 8), 8, 2, b""), "rgba16": (scaled(19, 21, 4, 16), 16, 6, b""), "gray1": (scaled(45, 67, 1, 1), 1, 0, b""),
            "palette2": (scaled(45, 67, 1, 2), 2, 3, chunk(b"PLTE", smooth(1, 4, 3).tobytes())), "rgb8_tiny": (scaled(3, 2, 3, 8), 8, 2, b"")}.items():
        files[f"png_interlaced_{name}.png"] = png(samples, depth, colour, before, interlaced=True)
    for h, w in ((1, 1), (1, 32), (200, 1), (1, 200), (1, 201), (201, 1), (20, 4000), (19, 4000), (300, 450)):
        files[f"png_{w}x{h}.png"] = png(scaled(h, w, 3, 8), 8, 2, pieces=2 if w * h > 50 else 1)
    files["png_over_budget_5000x4000.png"] = png(scaled(16, 20, 1, 1).repeat(250, 0).repeat(250, 1), 1, 0)
    rgb = scaled(24, 40, 3, 8)
    files["png_exif_6.png"] = png(rgb, 8, 2, chunk(b"eXIf", tiff(6)))
    files["png_exif_5_after_pixels.png"] = png(rgb, 8, 2, after=chunk(b"eXIf", tiff(5, "MM")))
    files["png_xmp_8.png"] = png(rgb, 8, 2, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP % 8))
    digits = (b"Exif\0\0" + tiff(7)).hex()
    text = f"\nexif\n{len(digits) // 2:8}\n" + "\n".join(digits[i:i + 72] for i in range(0, len(digits), 72)) + "\n"
    files["png_raw_profile_7.png"] = png(rgb, 8, 2, chunk(b"tEXt", b"Raw profile type exif\0" + text.encode()))
    good = png(rgb, 8, 2, pieces=3)
    at = good.index(b"IDAT") + 4
    end = good.index(b"IDAT", at) - 8
    files["png_wrong_data_crc.png"] = good[:end] + bytes([good[end] ^ 1]) + good[end + 1:]
    files["png_without_end.png"] = good[:-12]
    frame = struct.pack(">IIIIIHHBB", 0, 40, 24, 0, 0, 1, 10, 0, 0)
    later = struct.pack(">I", 2) + zlib.compress(b"\0" * (121 * 24))
    files["png_animated.png"] = png(rgb, 8, 2, chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", frame),
                                    chunk(b"fcTL", struct.pack(">I", 1) + frame[4:]) + chunk(b"fdAT", later))
    return files


def webps():
    files = {}
    for h, w in ((1, 1), (37, 53), (200, 301)):
        files[f"webp_lossy_{w}x{h}.webp"] = encode(drawing(h, w, seed=4), "WEBP", quality=70)
    files["webp_lossless.webp"] = encode(drawing(37, 53), "WEBP", lossless=True)
    files["webp_lossy_alpha.webp"] = encode(drawing(37, 53, "RGBA"), "WEBP", quality=70)
    files["webp_lossless_alpha.webp"] = encode(drawing(37, 53, "RGBA"), "WEBP", lossless=True, exact=True)
    files["webp_lossless_alpha_cleared.webp"] = encode(drawing(37, 53, "RGBA"), "WEBP", lossless=True)
    for mode in ("RGB", "RGBA"):
        frames = [drawing(41, 30, mode, seed) for seed in range(3)]
        files[f"webp_animated_{mode.lower()}.webp"] = encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], quality=60)
    inner = webp_chunks(encode(drawing(10, 12), "WEBP", quality=70))[0]
    place = struct.pack("<I", 4)[:3] + struct.pack("<I", 3)[:3] + struct.pack("<I", 11)[:3] + struct.pack("<I", 9)[:3] + struct.pack("<I", 50)[:3] + b"\0"
    shown = b"".join([inner[0], struct.pack("<I", len(inner[1])), inner[1], b"\0" * (len(inner[1]) & 1)])
    header = b"\x02\0\0\0" + struct.pack("<I", 39)[:3] + struct.pack("<I", 29)[:3]
    files["webp_animated_small_frame.webp"] = riff((b"VP8X", header), (b"ANIM", b"\x10\x20\x30\xff\0\0"), (b"ANMF", place + shown))
    base = drawing(24, 40, seed=6)
    files["webp_exif_5.webp"] = encode(base, "WEBP", quality=70, exif=b"Exif\0\0" + tiff(5))
    files["webp_exif_6_bare.webp"] = encode(base, "WEBP", lossless=True, exif=tiff(6, "MM"))
    files["webp_xmp_3.webp"] = encode(base, "WEBP", quality=70, xmp=XMP % 3)
    return files


def refused(good):
    """Damaged and foreign files. good: the readable ones, by name."""
    small = drawing(20, 30)
    files = {"empty.jpg": b"", "text.jpg": b"This is not a picture, whatever its name says.\n", "one_byte.png": b"\x89",
             "page.png": b"<!DOCTYPE html><html><body>404</body></html>\n", "vector.webp": b'<?xml version="1.0"?><svg width="9" height="9"/>',
             "picture.gif": encode(small, "GIF"), "picture.bmp": encode(drawing(4, 5), "BMP"), "picture.tif": encode(drawing(4, 5), "TIFF"),
             "noise.png": bytes((i * 197 + 13) & 255 for i in range(400))}
    for name, cut in (("jpeg_420_97x63.jpg", 0.6), ("png_rgb8.png", 0.6), ("png_interlaced_rgb8.png", 0.5), ("webp_lossy_53x37.webp", 0.7),
                      ("jpeg_420_progressive_75x53.jpg", 0.7), ("webp_animated_rgb.webp", 0.9)):
        data = good[name]
        files["cut_" + name] = data[:int(len(data) * cut)]
    nothing = np.zeros((1, 1, 3), np.int64)
    files["png_header_100000x100000.png"] = png(nothing, 8, 2, size=(100000, 100000))
    files["png_header_0x5.png"] = png(nothing, 8, 2, size=(0, 5))
    files["png_palette_missing.png"] = png(scaled(5, 5, 1, 8), 8, 3)
    data = bytearray(good["jpeg_420_32x32.jpg"])
    at = data.index(b"\xff\xc0")
    data[at + 4] = 12
    files["jpeg_12_bits.jpg"] = bytes(data)
    broken = bytearray(good["png_rgb8.png"])
    at = broken.index(b"IDAT") + 20
    broken[at:at + 40] = bytes(40)
    files["png_broken_stream.png"] = bytes(broken)
    return files


def everything():
    good = {**jpegs(), **pngs(), **webps()}
    return {**good, **refused(good)}
