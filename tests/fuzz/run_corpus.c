/*
 * Runs a fuzz target on every file of the folders given, so that each input ever found is an
 * ordinary test, with any compiler.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    int result = -1;
    uint8_t *data = NULL;
    FILE *file = fopen(path, "rb");
    if (!file)
        goto out;
    if (fseek(file, 0, SEEK_END) != 0)
        goto out;
    long size = ftell(file);
    if (size < 0 || fseek(file, 0, SEEK_SET) != 0)
        goto out;
    data = malloc(size ? (size_t)size : 1); /* exactly, so that a sanitizer sees every overrun */
    if (!data || fread(data, 1, (size_t)size, file) != (size_t)size)
        goto out;
    (void)LLVMFuzzerTestOneInput(data, (size_t)size);
    result = 0;
out:
    if (result != 0)
        perror(path);
    free(data);
    if (file)
        fclose(file);
    return result;
}

/* The number of files run, -1 on failure. */
static long run_folder(const char *folder)
{
    long count = 0;
    DIR *dir = opendir(folder);
    if (!dir) {
        perror(folder);
        return -1;
    }
    for (struct dirent *entry = readdir(dir); entry && count >= 0; entry = readdir(dir)) {
        char path[4096];
        struct stat info;
        int len = snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (len < 0 || (size_t)len >= sizeof(path) || stat(path, &info) != 0) {
            perror(folder);
            count = -1;
        } else if (S_ISREG(info.st_mode)) {
            count = run_file(path) == 0 ? count + 1 : -1;
        }
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        long count = run_folder(argv[i]);
        if (count <= 0) {
            fprintf(stderr, "%s: no input could be run\n", argv[i]);
            return 1;
        }
        printf("%s: %ld inputs\n", argv[i], count);
    }
    return argc > 1 ? 0 : 1;
}
