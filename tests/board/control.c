// Sets a control of a camera by its name, as `v4l2-ctl` does:   control /dev/video0 "Test Pattern" 10
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

int main(int count, char **words) {
    if (count != 4) return fprintf(stderr, "control DEVICE NAME VALUE\n"), 2;
    int camera = open(words[1], O_RDWR);
    if (camera < 0) return perror(words[1]), 1;
    struct v4l2_queryctrl control = {.id = V4L2_CTRL_FLAG_NEXT_CTRL};
    for (; ioctl(camera, VIDIOC_QUERYCTRL, &control) == 0; control.id |= V4L2_CTRL_FLAG_NEXT_CTRL) {
        if (strcmp((char *)control.name, words[2])) continue;
        struct v4l2_control setting = {.id = control.id, .value = atoi(words[3])};
        if (ioctl(camera, VIDIOC_S_CTRL, &setting) == 0) return 0;
        return perror(words[2]), 1;
    }
    return fprintf(stderr, "%s has no control \"%s\"\n", words[1], words[2]), 1;
}
