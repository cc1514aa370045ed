/* Preloaded into a process, keeps in the folder that TEST_SYNCED names what a power cut would leave: of each file
   the bytes that it had when it was last synced, of each folder the names that it had then. A file or folder is
   named by inode and time of birth, as inodes are used again. The process is killed before the nth sync from now
   if the file that TEST_DEATH names has n, and after it if that has -n. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic int64_t *syncs_to_death;

__attribute__((constructor)) static void map_death(void) {
    const char *path = getenv("TEST_DEATH");
    int file = path ? open(path, O_RDWR) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *syncs_to_death, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped == MAP_FAILED) abort();
    close(file);
    syncs_to_death = mapped;
}

/* Counts a sync that is to come (1) or was (-1), if death is to come then. */
static void approach_death(int64_t step) {
    int64_t left = syncs_to_death ? *syncs_to_death : 0;
    if (left * step <= 0) return;
    if (atomic_fetch_sub(syncs_to_death, step) == step) kill(getpid(), SIGKILL);
}

/* With d or f in front, for folder or file. Empty if there is none. */
static void name_of(int fd, const char *path, char *name, size_t length) {
    struct statx of;
    int flags = AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW;
    *name = 0;
    if (!statx(fd, path, flags, STATX_TYPE | STATX_INO | STATX_BTIME, &of))
        snprintf(name, length, "%c%llu-%lld.%u", S_ISDIR(of.stx_mode) ? 'd' : 'f',
                 (unsigned long long)of.stx_ino, (long long)of.stx_btime.tv_sec,
                 of.stx_btime.tv_nsec);
}

static void copy_bytes(int from, FILE *to) {
    static _Thread_local char buffer[1 << 16];
    off_t at = 0;
    ssize_t bytes;
    while ((bytes = pread(from, buffer, sizeof buffer, at)) > 0) {
        if (fwrite(buffer, 1, (size_t)bytes, to) != (size_t)bytes) abort();
        at += bytes;
    }
    if (bytes < 0) abort();
}

static void copy_names(int folder, FILE *to) {
    int own = openat(folder, ".", O_RDONLY | O_DIRECTORY);
    DIR *entries = own < 0 ? NULL : fdopendir(own);
    if (!entries) abort();
    for (struct dirent *entry; (entry = readdir(entries));) {
        char name[64];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        name_of(folder, entry->d_name, name, sizeof name);
        if (*name) fprintf(to, "%s %s\n", name, entry->d_name);
    }
    closedir(entries);
}

/* As it is before the sync, since what comes during it may or may not be on the disk. It counts from when the sync
   has succeeded. */
static int sync_and_keep(int fd, int (*sync)(int)) {
    const char *kept = getenv("TEST_SYNCED");
    char path[4096], fresh[4200], name[64], own[64];
    struct stat of;
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    int is_kept = kept && !fstat(fd, &of) && (S_ISREG(of.st_mode) || S_ISDIR(of.st_mode));
    int file = is_kept ? open(own, O_RDONLY) : -1;
    if (file < 0) return sync(fd);
    name_of(fd, "", name, sizeof name);
    snprintf(path, sizeof path, "%s/%s", kept, name);
    snprintf(fresh, sizeof fresh, "%s.%d", path, gettid());
    FILE *to = fopen(fresh, "w");
    if (!to) abort();
    S_ISDIR(of.st_mode) ? copy_names(file, to) : copy_bytes(file, to);
    close(file);
    if (fclose(to)) abort();
    approach_death(1);
    int failed = sync(fd);
    if (failed ? unlink(fresh) : rename(fresh, path)) abort();
    approach_death(-1);
    return failed;
}

int fsync(int fd) { return sync_and_keep(fd, (int (*)(int))dlsym(RTLD_NEXT, "fsync")); }

int fdatasync(int fd) { return sync_and_keep(fd, (int (*)(int))dlsym(RTLD_NEXT, "fdatasync")); }
