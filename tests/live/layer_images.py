# ruff: noqa: E501 - a recipe is easier to read in one line
"""Odd but honest images, made by the tools that people use: Dockerfiles, buildah, umoci, and tars written by hand."""

from __future__ import annotations

SETUP = """\
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
"""

# Each follows SETUP; the context holds busybox, `tree/`, `data.tar.gz` and `link` → tree/one.
DOCKERFILES = {
    "modes": "RUN mkdir /m && cd /m && for m in 000 400 444 600 640 700 711 755 777 1644; do echo $m > $m; chmod $m $m; done",
    "directory modes": "RUN mkdir -m 700 /a && mkdir -m 000 /b && mkdir -m 1777 /c && mkdir -m 2775 /d && mkdir -m 555 /e",
    "setuid": "RUN mkdir /s && for m in 4755 2755 6711 1755; do cp /bin/busybox /s/$m; chmod $m /s/$m; done",
    "owners": "RUN mkdir /o && touch /o/a /o/b && chown 1000:1000 /o/a && chown 4294967290:7 /o/b && chown -h 5:5 /o",
    "chown only": "RUN mkdir /o && echo x > /o/f\nRUN chown 33:33 /o/f /o",
    "chmod only": "RUN mkdir /o && echo x > /o/f\nRUN chmod 600 /o/f && chmod 711 /o",
    "symbolic links": "RUN mkdir /l && cd /l && ln -s /bin/sh a && ln -s ../bin b && ln -s nowhere c && ln -s d d && ln -s . e"
                      " && ln -s / f && ln -s ../../../../bin/sh g",
    "hard links": "RUN mkdir /h && cd /h && echo 1 > a && ln a b && ln a c && mkdir d && ln a d/e && ln -s a s && ln s t",
    "a hard link changed above": "RUN mkdir /h && echo 1 > /h/a && ln /h/a /h/b\nRUN echo 2 >> /h/a\nRUN rm /h/b",
    "a hard link made above": "RUN echo 1 > /a\nRUN ln /a /b",
    "file removed": "RUN mkdir /r && touch /r/a /r/b\nRUN rm /r/a",
    "directory removed": "RUN mkdir -p /r/a/b/c && touch /r/a/f /r/a/b/c/g\nRUN rm -rf /r/a",
    "directory made again": "RUN mkdir -p /r/a && touch /r/a/f\nRUN rm -rf /r/a && mkdir /r/a && touch /r/a/g",
    "made, removed, made": "RUN echo 1 > /x\nRUN rm /x\nRUN echo 2 > /x\nRUN rm /x\nRUN mkdir /x && touch /x/y",
    "all removed in one": "RUN mkdir /d && touch /d/1 /d/2 /d/3\nRUN rm /d/*\nRUN touch /d/4",
    "directory becomes file": "RUN mkdir /d && touch /d/f\nRUN rm -r /d && echo file > /d",
    "file becomes directory": "RUN echo x > /d\nRUN rm /d && mkdir /d && touch /d/f",
    "directory becomes link": "RUN mkdir /d /e && touch /d/f /e/g\nRUN rm -r /d && ln -s e /d\nRUN touch /d/h",
    "link becomes directory": "RUN mkdir /e && touch /e/g && ln -s e /d\nRUN rm /d && mkdir /d && touch /d/f",
    "link becomes file": "RUN echo x > /t && ln -s t /l\nRUN rm /l && echo y > /l",
    "link removed, target kept": "RUN mkdir /e && touch /e/g && ln -s e /d\nRUN rm /d",
    "merged usr": "RUN mkdir -p /usr/lib/x && touch /usr/lib/libc && ln -s usr/lib /lib && ln -s /usr/lib /lib64\n"
                  "RUN touch /lib/x/new /lib64/more && rm /lib/libc\nCOPY tree/one /lib/one\nCOPY tree /lib64/",
    "copied through a link": "RUN mkdir -p /real/sub && ln -s /real/sub /s\nCOPY tree /s/\nCOPY tree/one /s/renamed",
    "directory renamed": "RUN mkdir -p /a/b && touch /a/b/c\nRUN mv /a /z\nRUN mkdir /a && touch /a/d",
    "long names": "RUN mkdir /n && cd /n && touch $(printf %0100d 1) $(printf %0155d 2) $(printf %0255d 3) &&"
                  " ln -s $(printf %0255d 3) $(printf %0254d 4) && ln -s $(printf '%01023d' 5) l",
    "deep": "RUN p=/p; for i in 1 2 3 4 5 6 7 8; do p=$p/$(printf %060d $i); done; mkdir -p $p && echo x > $p/f"
            " && ln $p/f $p/g\nRUN find /p -name f -exec rm {} +",
    "names": "RUN mkdir /n && cd /n && touch 'a b' \"$(printf 'new\\nline')\" ü ./-rf 'back\\slash' '\"' \"'\" '*' .whx .wh ' '"
             " \"$(printf '\\377\\376')\" '...' Case case COM1",
    "empty": "RUN mkdir /e /e/d && touch /e/f",
    "times": "RUN mkdir /t && cd /t && touch -d @0 a && touch -d @1 b && touch -d 2005-05-05 c && touch -d @2000000000 d &&"
             " touch -d @4000000000 e && touch -d @100 .",
    "time of a directory": "RUN mkdir /t && touch /t/a && touch -d @5 /t\nRUN touch /t/b && touch -d @6 /t",
    "devices": "RUN mkdir /v && mknod /v/c c 1 3 && mknod /v/b b 7 0 && mkfifo /v/p && touch /v/f",
    "sparse": "RUN mkdir /s && dd if=/dev/zero of=/s/a bs=1 count=1 seek=5000000 && truncate -s 3000000 /s/b && echo x > /s/c",
    "many": "RUN mkdir /m && cd /m && for i in 0 1 2 3 4 5 6 7 8 9; do mkdir $i; (cd $i; seq 1 300 | xargs touch); done\n"
            "RUN rm -r /m/3 && rm /m/4/1*",
    "large": "RUN dd if=/dev/urandom of=/large bs=1M count=20 && cp /large /again",
    "copies": "COPY tree /tree/\nCOPY --chmod=640 --chown=7:8 tree/one /one\nCOPY tree/sub tree/one /both/",
    "linked copies": "RUN mkdir /w && ln -s /w /v\nCOPY --link tree /v/\nCOPY --link --chmod=600 tree/one /w/one",
    "an archive added": "ADD data.tar.gz /data/\nADD data.tar.gz /data/\nRUN rm -r /data/tree/sub",
    "from a stage": "RUN mkdir -p /x/y && ln -s y /x/z && touch /x/y/f\nFROM scratch\nCOPY --from=0 /x /x\nCOPY --from=0 /bin /bin",
    "volumes and directories": "WORKDIR /w/x/y\nRUN touch f\nVOLUME /w/x\nRUN touch g\nWORKDIR ../z\nRUN touch h",
    "root's own mode": "RUN chmod 700 / && touch -d @1000 /",
    "empty layers": "ENV A=1\nLABEL b=2\nRUN true\nRUN true\nWORKDIR /",
    "system directories": "RUN mkdir -p /etc /tmp /proc /sys /dev /run /var && ln -s /run /var/run && ln -s ../tmp /var/tmp"
                          " && touch /etc/passwd /run/x && chmod 1777 /tmp\nRUN touch /var/run/y /var/tmp/z",
}

# Shell scripts for buildah and umoci: $W is a directory of their own with the context, $OUT the layout to make ("$OUT:1").
SCRIPTS = {
    "buildah: copies": "c=$(buildah from scratch); buildah add $c $W/data.tar.gz /d; buildah copy $c $W/tree /t;"
                       " buildah commit -q $c oci:$OUT:1; buildah rm $c",
    "buildah: two commits": "c=$(buildah from scratch); buildah copy -q $c $W/busybox /bin/busybox; buildah copy -q $c"
                            " $W/tree /t; buildah commit -q $c oci:$W/first:1; buildah rm $c;"
                            " c=$(buildah from oci:$W/first:1); buildah run $c /bin/busybox sh -c 'rm -r /t/sub;"
                            " echo n > /t/new; ln /t/new /t/hard; mkdir /t/sub; chmod 4750 /t/one; touch -d @7 /t/one';"
                            " buildah commit -q $c oci:$OUT:1; buildah rm $c",
    "buildah: squashed": "c=$(buildah from scratch); buildah copy --chown 5:6 $c $W/tree /t; buildah commit -q --squash $c"
                         " oci:$OUT:1; buildah rm $c",
    "umoci: repacked": "umoci init --layout $OUT; umoci new --image $OUT:1; umoci unpack $ROOTLESS --image $OUT:1 $W/b;"
                       " cp -a $W/tree $W/b/rootfs/t; ln $W/b/rootfs/t/one $W/b/rootfs/t/two; ln -s /t/one $W/b/rootfs/l;"
                       " umoci repack --image $OUT:1 $W/b; rm -rf $W/b; umoci unpack $ROOTLESS --image $OUT:1 $W/b;"
                       " rm -r $W/b/rootfs/t/sub; rm $W/b/rootfs/l; mkdir $W/b/rootfs/l; touch $W/b/rootfs/l/x;"
                       " umoci repack --image $OUT:1 $W/b",
    "umoci: whiteouts": "umoci init --layout $OUT; umoci new --image $OUT:1; umoci insert $ROOTLESS --image $OUT:1 $W/tree /t;"
                        " umoci insert $ROOTLESS --image $OUT:1 --whiteout /t/one; umoci insert $ROOTLESS --image $OUT:1"
                        " --opaque $W/tree/sub /t/sub; umoci insert $ROOTLESS --image $OUT:1 $W/tree/one /u/v/w",
    "zstd": "skopeo copy -q --dest-compress --dest-compress-format zstd oci:$BASE:1 oci:$OUT:1",
    "zstd:chunked": "skopeo copy -q --dest-compress --dest-compress-format zstd:chunked oci:$BASE:1 oci:$OUT:1",
    "gzip": "skopeo copy -q --dest-compress --dest-compress-format gzip oci:$BASE:1 oci:$OUT:1",
}

# GNU tar's options, for a folder with all kinds of files.
TARS = {
    "gnu": "--format=gnu", "oldgnu": "--format=oldgnu", "posix": "--format=posix", "ustar": "--format=ustar",
    "v7": "--format=v7", "sparse gnu": "--format=gnu --sparse", "sparse 0.0": "--format=posix -S --sparse-version=0.0",
    "sparse 0.1": "--format=posix -S --sparse-version=0.1", "sparse 1.0": "--format=posix -S --sparse-version=1.0",
    "sorted, deep first": "--format=gnu --sort=name", "absolute": "--format=gnu -P --transform=flags=rh;s,^,/,",
    "dots": "--format=gnu --transform=flags=rh;s,^\\./,.//./,", "large ids": "--format=gnu --owner=:3000000 --group=:4000000",
    "pax xattrs": "--format=posix --xattrs --xattrs-include=*", "hard links as files": "--format=gnu --hard-dereference",
    "global comment": "--format=posix --pax-option=globexthdr.name=g,comment=hello",
}
