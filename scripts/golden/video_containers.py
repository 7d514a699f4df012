"""Makes small videos in many containers, and what FFmpeg's own programs read in them. Run by hand.

    python3 scripts/golden/video_containers.py      needs ffmpeg and ffprobe (made with 5.1.9) and Pillow

tests/golden/video_containers/*         the videos
tests/golden/video_containers/manifest.json
  videos    name -> frames that ffprobe decodes; size; packets; means: per frame, of all channels, as FFmpeg makes them
            RGB, of WebP as Pillow does; same_as: the video of the same packets in another container
"""

import json
import shutil
import subprocess
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "tests" / "golden" / "video_containers"
SCENE = "testsrc2=size={}:rate={}:duration={}"
X264 = "-c:v libx264 -preset ultrafast -crf 30 -bf 2 -g 5 -pix_fmt yuv420p -threads 1"


def ffmpeg(arguments, *outputs):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments.split(), *map(str, outputs)], check=True, cwd=FOLDER)


def scene(name, arguments, size="48x32", rate=10, duration=1.2):
    ffmpeg(f"-f lavfi -i {SCENE.format(size, rate, duration)} {arguments} -fflags +bitexact -flags:v +bitexact", name)


def copy(source, name, arguments="", before=""):
    ffmpeg(f"{before} -i {source} {arguments} -c copy -fflags +bitexact", name)


def make():
    scene("h264.mp4", X264)
    for name in ("h264.mkv", "h264.ts", "h264.flv", "h264.avi", "h264.mov"):
        copy("h264.mp4", name)
    copy("h264.mp4", "fragments.mp4", "-movflags frag_keyframe+empty_moov")
    copy("h264.mp4", "index_first.mp4", "-movflags +faststart")
    copy("h264.mp4", "no_keyframe_first.mp4", "-ss 0.65 -copyinkf")
    copy("h264.mp4", "edited.mp4", before="-ss 0.65")
    copy("h264.mp4", "same_times.mkv", "-bsf:v setts=pts=0:dts=0")
    scene("mjpeg.avi", "-c:v mjpeg -q:v 20")
    scene("mpeg4.avi", "-c:v mpeg4 -bf 2 -g 5 -q:v 12")
    scene("mpeg2.mpg", "-c:v mpeg2video -bf 2 -g 5 -q:v 8", size="64x48", rate=25, duration=0.48)
    copy("mpeg2.mpg", "mpeg2.ts")
    copy("mpeg2.mpg", "open_start.mpg", "-ss 0.1 -copyinkf")
    scene("filled.mpg", "-c:v mpeg2video -b:v 80k -maxrate 80k -minrate 80k -bufsize 40k", rate=25, duration=0.48)
    scene("wmv2.wmv", "-c:v wmv2 -q:v 3 -packet_size 400")
    scene("sorenson.flv", "-c:v flv -q:v 12")
    scene("theora.ogv", "-c:v libtheora -q:v 3")
    scene("vp8.webm", "-c:v libvpx -b:v 60k")
    scene("open_gop.mp4", X264 + " -x264-params open-gop=1:keyint=5:min-keyint=5")
    copy("open_gop.mp4", "open_start.mkv", before="-ss 0.5")
    scene("empty_chunks.avi", "-vf select='not(mod(n,3))' -vsync passthrough -c:v mjpeg -q:v 20")
    scene("ten_bits.mp4", "-c:v libx265 -preset ultrafast -pix_fmt yuv420p10le -x265-params log-level=error:pools=none", size="64x64")
    scene("interlaced.ts", "-c:v mpeg2video -flags:v +ildct+ilme -top 1 -q:v 12", rate=25, duration=0.48)
    scene("alpha.webm", "-vf format=yuva420p -c:v libvpx -auto-alt-ref 0 -b:v 60k")
    scene("animation.gif", "", duration=0.8)
    scene("animation.png", "-f apng -plays 0 -pix_fmt rgb24", size="32x24", duration=0.4)
    scene("animation.webp", "-c:v libwebp_anim -lossless 1 -loop 0", size="32x24", duration=0.8)
    uneven()
    scene("small.ts", X264, size="32x32", duration=0.6)


def uneven():
    """An animated WebP with transparency and times of its own."""
    frames = []
    for k in range(5):
        frame = Image.new("RGBA", (48, 32), (250 - 40 * k, 20 * k, 90, 255))
        frame.paste((20, 20, 200, 128), (4 * k, 4, 4 * k + 12, 16))
        frame.paste((0, 0, 0, 0), (30, 2, 38, 10))
        frames.append(frame)
    frames[0].save(FOLDER / "uneven.webp", save_all=True, append_images=frames[1:], lossless=True,
                   duration=[100, 40, 400, 200, 60])


def webp_facts(name):
    with Image.open(FOLDER / name) as image:
        frames = []
        for k in range(image.n_frames):
            image.seek(k)
            frames.append(image.convert("RGB").tobytes())
        height, width = image.height, image.width
    return {"frames": len(frames), "packets": len(frames), "size": [height, width],
            "means": [round(sum(frame) / len(frame), 1) for frame in frames]}


def facts(name):
    answer = subprocess.run(["ffprobe", "-v", "quiet", "-select_streams", "v:0", "-count_frames", "-count_packets", "-show_entries",
                             "stream=width,height,nb_read_frames,nb_read_packets", "-of", "json", name], check=True, cwd=FOLDER,
                            capture_output=True, text=True)
    stream = json.loads(answer.stdout)["streams"][0]
    rgb = subprocess.run(["ffmpeg", "-v", "quiet", "-i", name, "-map", "0:v:0", "-vsync", "passthrough", "-f", "rawvideo",
                          "-pix_fmt", "rgb24", "-sws_flags", "accurate_rnd", "-"], check=True, cwd=FOLDER,
                         capture_output=True).stdout
    size = stream["height"] * stream["width"] * 3
    frames = [rgb[at:at + size] for at in range(0, len(rgb), size)]
    return {"frames": int(stream["nb_read_frames"]), "packets": int(stream["nb_read_packets"]),
            "size": [stream["height"], stream["width"]], "means": [round(sum(frame) / size, 1) for frame in frames]}


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    make()
    videos = {path.name: webp_facts(path.name) if path.suffix == ".webp" else facts(path.name) for path in sorted(FOLDER.iterdir())}
    for name in ("h264.mkv", "h264.ts", "h264.flv", "h264.avi", "h264.mov", "fragments.mp4", "index_first.mp4", "same_times.mkv"):
        videos[name]["same_as"] = "h264.mp4"
    videos["mpeg2.ts"]["same_as"] = "mpeg2.mpg"
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True).stdout.split()[2]
    manifest = {"remake": "scripts/golden/video_containers.py", "ffmpeg": version, "videos": videos}
    rows = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in manifest.pop("videos").items()]
    text = json.dumps(manifest)[:-1] + ', "videos": {\n' + ",\n".join(rows) + "\n}}\n"
    (FOLDER / "manifest.json").write_text(text)


if __name__ == "__main__":
    main()
