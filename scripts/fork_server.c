/* For mutate_files.py: a program that is loaded once and runs many times.
 *
 * Loading finescale with the forty libraries behind Debian's libhdf5 takes longer than reading a small file. Preloaded,
 * this waits at main() for requests on descriptor FORK_SERVER_IN, forks a child for each, which runs main() with
 * other arguments, and answers on FORK_SERVER_OUT with the child's id (at once) and its wait status (when it is over).
 * A request: a 32-bit length, then texts that end in a zero byte: working folder, file for stderr, arguments from argv[1].
 *
 *     cc -O1 -shared -fPIC -o fork_server.so fork_server.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORK_SERVER_IN = 198, FORK_SERVER_OUT = 199, MAX_ARGUMENTS = 64 };

typedef int (*main_function)(int, char **, char **);
typedef int (*start_function)(main_function, int, char **, void (*)(void), void (*)(void), void (*)(void), void *);

static main_function real_main;

static void read_all(void *to, size_t length) {
    for (size_t done = 0; done < length;) {
        ssize_t now = read(FORK_SERVER_IN, (char *)to + done, length - done);
        if (now <= 0) _exit(0);
        done += (size_t)now;
    }
}

static void answer(int32_t value) {
    if (write(FORK_SERVER_OUT, &value, sizeof value) != sizeof value) _exit(0);
}

static void redirect(const char *path, int flags, int descriptor) {
    int file = open(path, flags, 0600);
    if (file < 0 || dup2(file, descriptor) < 0) _exit(125);
    close(file);
}

static int child(char *program, char *texts, uint32_t length, char **environment) {
    static char *arguments[MAX_ARGUMENTS + 1];
    int count = 1;
    char *folder = texts, *said = texts + strlen(texts) + 1, *next = said + strlen(said) + 1;
    arguments[0] = program;
    for (; next < texts + length && count < MAX_ARGUMENTS; next += strlen(next) + 1) arguments[count++] = next;
    close(FORK_SERVER_IN);
    close(FORK_SERVER_OUT);
    redirect("/dev/null", O_RDONLY, 0);
    redirect("/dev/null", O_WRONLY, 1);
    redirect(said, O_WRONLY | O_CREAT | O_TRUNC, 2);
    if (chdir(folder) != 0) _exit(125);
    return real_main(count, arguments, environment);
}

static int serve(int count, char **arguments, char **environment) {
    (void)count;
    for (;;) {
        uint32_t length;
        read_all(&length, sizeof length);
        char *texts = calloc(length + 1, 1);
        if (!texts) _exit(125);
        read_all(texts, length);
        pid_t id = fork();
        if (id == 0) return child(arguments[0], texts, length, environment);
        free(texts);
        int status = 125 << 8;
        answer(id);
        if (id > 0) waitpid(id, &status, 0);
        answer(status);
    }
}

int __libc_start_main(main_function start, int count, char **arguments, void (*init)(void), void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end) {
    start_function real = (start_function)dlsym(RTLD_NEXT, "__libc_start_main");
    real_main = start;
    unsetenv("LD_PRELOAD");
    return real(serve, count, arguments, init, fini, loader_fini, stack_end);
}
