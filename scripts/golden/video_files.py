"""Makes video goldens: small videos that FFmpeg writes, and the results of transformers' Qwen3VLVideoProcessor.

tests/golden/video_files/files/*    the videos, written by PyAV
tests/golden/video_files/shown/*    per video some of the chosen frames, one below the other, as PyAV decodes them
tests/golden/video_files/manifest.json
  clips     name -> size, frames and rate as PyAV finds them; indices as the reference chooses them; timestamps as it
            writes them; video_grid_thw; shown: which of the chosen frames are in shown/; where these are all of them,
            sha256 of pixel_values_videos (float32)
            own_choice: where the reference refuses, or has no times of its own
"""

from fractions import Fraction

import av
import numpy as np
from PIL import Image
from transformers.models.qwen3_vl.processing_qwen3_vl import Qwen3VLProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.video_utils import VideoMetadata

import common

BUDGET = {"shortest_edge": 4096, "longest_edge": 25165824}
MOST_SHOWN = 3  # of a video with more chosen frames: the first, the middle one and the last


def drawing(k, width, height):
    """A moving scene: every frame differs, and colours are smooth except for one disc."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    red = 127 + 90 * np.sin(x / 17 + k / 5)
    green = 127 + 90 * np.sin(y / 13 - k / 7)
    blue = 127 + 90 * np.cos((x + y) / 23 + k / 3)
    rgb = np.stack([red, green, blue], -1)
    disc = (x - (width * (0.2 + 0.6 * ((k * 7) % 100) / 100))) ** 2 + (y - height / 2) ** 2 < (height / 6) ** 2
    rgb[disc] = (230, 60, 40)
    return rgb.round().clip(0, 255).astype(np.uint8)


def write(path, codec, frames, rate, size=(64, 48), pixels="yuv420p", options=None, times=None, container=None, tags=None,
          bit_rate=60000):
    """times: of the frames in milliseconds, where they follow no rate."""
    width, height = size
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=Fraction(rate).limit_denominator(1001), options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        stream.bit_rate = bit_rate
        context = stream.codec_context
        context.thread_count = 1
        if times:
            context.time_base = stream.time_base = Fraction(1, 1000)
        for name, value in (tags or {}).items():
            setattr(context, name, value)
        for k in range(frames):
            frame = av.VideoFrame.from_ndarray(drawing(k, width, height), format="rgb24").reformat(format=pixels)
            if times:
                frame.pts, frame.time_base = times[k], Fraction(1, 1000)
            else:
                frame.pts, frame.time_base = k, 1 / Fraction(rate).limit_denominator(1001)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)


def turned(mp4):
    """The video with the matrix of a phone that was held upright: a quarter turn clockwise."""
    at = mp4.index(b"tkhd") + 4 + 40
    matrix = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    return mp4[:at] + matrix + mp4[at + 36:]


def sound(path):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=8000)
        stream.layout = "mono"
        for k in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 8000, 1024 * k, Fraction(1, 8000)
            for packet in stream.encode(frame):
                out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)


def make(folder):
    x264 = {"crf": "20", "preset": "fast", "g": "24", "threads": "1"}
    uneven = [0]
    for k in range(39):
        uneven.append(uneven[-1] + (40 if k < 20 else 250 if k < 28 else 97))
    write(folder / "h264.mp4", "libx264", 60, 12, options=x264)
    write(folder / "h264_ntsc.mov", "libx264", 75, Fraction(30000, 1001), options=x264)
    write(folder / "keyframes.mp4", "libx264", 300, 15, size=(48, 32), options=x264 | {"g": "6", "crf": "30", "bf": "2"})
    write(folder / "uneven.mkv", "libx264", 40, 25, options=x264, times=uneven)
    write(folder / "bt709_full.mp4", "libx264", 12, 6, options=x264 | {"colorspace": "bt709", "color_range": "pc"},
          tags={"colorspace": 1, "color_range": 2})
    write(folder / "three_frames.mp4", "libx264", 3, 25, options=x264)
    write(folder / "one_frame.mp4", "libx264", 1, 25, options=x264)
    write(folder / "odd_count.mp4", "libx264", 25, 10, options=x264)
    (folder / "turned.mp4").write_bytes(turned((folder / "three_frames.mp4").read_bytes()))
    write(folder / "vp9_odd_size.webm", "libvpx-vp9", 60, 30, size=(75, 53), options={"crf": "30", "b": "0"}, bit_rate=0)
    write(folder / "vp8_hidden.webm", "libvpx", 50, 25, options={"auto-alt-ref": "1", "lag-in-frames": "16", "arnr-maxframes": "5"})
    write(folder / "av1.mp4", "libsvtav1" if "libsvtav1" in av.codecs_available else "libaom-av1", 20, 10,
          size=(64, 64), options={"crf": "30"}, bit_rate=0)
    write(folder / "mpeg4.avi", "mpeg4", 40, 20, options={"g": "12"}, bit_rate=200000)
    write(folder / "mpeg4_b.avi", "mpeg4", 40, 20, options={"g": "12", "bf": "2"}, bit_rate=200000)
    write(folder / "uneven.gif", "gif", 14, 10, size=(48, 32), pixels="rgb8",
          times=[0, 100, 200, 300, 1000, 1100, 1200, 2000, 2500, 2600, 2700, 2800, 2900, 3000])
    sound(folder / "sound.mp4")


def decode(path):
    """Frames as RGB arrays, their times in seconds as exact fractions, average rate; all as PyAV gives them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        rate = stream.average_rate
        frames, times = [], []
        for frame in container.decode(stream):
            frames.append(frame.to_ndarray(format="rgb24"))
            times.append(frame.pts * Fraction(frame.time_base))
        last = frame.duration * Fraction(frame.time_base) if frame.duration else 0
    return frames, [t - times[0] for t in times], rate, last


def texts(times):
    times = list(times) + list(times[-1:]) * (len(times) % 2)
    return [f"<{(a + b) / 2:.1f} seconds>" for a, b in zip(times[::2], times[1::2])]


def describe(path, shown_folder):
    frames, times, rate, last = decode(path)
    case = {"size": list(frames[0].shape[:2]), "total_num_frames": len(frames), "average_rate": str(rate)}
    even = all(abs(t * rate - k) <= Fraction(1, 2) for k, t in enumerate(times))
    fps = float(rate)
    if not even:
        case["own_choice"] = "times of the frames; the reference says index / fps. fps: frames / measured duration"
        fps = len(frames) / float(times[-1] + last) if last else (len(frames) - 1) / float(times[-1])
    processor = Qwen3VLVideoProcessor(size=dict(BUDGET), patch_size=16, temporal_patch_size=2, merge_size=2, image_mean=[0.5] * 3,
                                      image_std=[0.5] * 3)
    if "turned" in path.name:
        frames = [np.rot90(f, -1).copy() for f in frames]
        case["size"], case["stored"] = list(frames[0].shape[:2]), case["size"]
        case["own_choice"] = "upright, as it is played; the reference's decoders leave it lying"
    metadata = VideoMetadata(total_num_frames=len(frames), fps=fps, duration=len(frames) / fps)
    indices = processor.sample_frames(metadata, fps=2).tolist()
    if len(indices) == 1:
        case["own_choice"] = "a single frame is shown twice; the reference refuses it"
        indices = indices * 2
    chosen = [frames[k] for k in indices]
    out = processor(videos=[np.stack(chosen)], video_metadata=[VideoMetadata(total_num_frames=len(frames), fps=fps,
                    frames_indices=indices)], do_sample_frames=False, return_tensors="pt")
    if even:
        written = [f"<{t:.1f} seconds>" for t in Qwen3VLProcessor._calculate_timestamps(None, list(indices), fps, 2)]
    else:
        written = texts([float(times[k]) for k in indices])
    shown = list(range(len(indices))) if len(indices) <= MOST_SHOWN else [0, len(indices) // 2, len(indices) - 1]
    Image.fromarray(np.concatenate([chosen[k] for k in shown])).save(shown_folder / f"{path.name}.png", optimize=True)
    case |= {"fps": fps, "constant_rate": even, "frames_indices": indices, "timestamps": written,
             "video_grid_thw": out["video_grid_thw"][0].tolist(), "shown": shown}
    if len(shown) == len(indices):
        case["pixel_values_videos_sha256"] = common.sha256(out["pixel_values_videos"].numpy().tobytes())
    return case


def main():
    common.set_up_torch()
    folder = common.fresh_folder("video_files")
    files, shown = folder / "files", folder / "shown"
    files.mkdir(), shown.mkdir()
    make(files)
    videos = {path.name: describe(path, shown) for path in sorted(files.iterdir()) if path.name != "sound.mp4"}
    common.write_manifest(folder, pyav=av.__version__, ffmpeg=av.ffmpeg_version_info, min_pixels=BUDGET["shortest_edge"],
                          max_pixels=BUDGET["longest_edge"], clips=videos)


if __name__ == "__main__":
    main()
