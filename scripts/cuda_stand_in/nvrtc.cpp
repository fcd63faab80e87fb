// The run-time compiler: g++ makes a shared library of the kernels, and the "PTX" names its file.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

extern char** environ;

namespace {

enum Result : int { SUCCESS = 0, INVALID_INPUT = 3, INVALID_PROGRAM = 4, INVALID_OPTION = 5, COMPILATION = 6, INTERNAL_ERROR = 11 };

struct Program {
    std::string source, name, log, ptx;
};

std::string read_file(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
}

std::string from_environment(const char* name, const std::string& otherwise) {
    const char* text = getenv(name);
    return text == nullptr || *text == '\0' ? otherwise : text;
}

/// device.h lies beside this library, unless the environment names another folder.
std::string header_folder() {
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&header_folder), &info);
    const std::string path = info.dli_fname;
    const size_t slash = path.find_last_of('/');
    return from_environment("FINESCALE_STAND_IN_HEADERS", slash == std::string::npos ? "." : path.substr(0, slash));
}

std::string cache_folder() {
    const std::string usual = from_environment("TMPDIR", "/tmp") + "/finescale_cuda_stand_in";
    const std::string folder = from_environment("FINESCALE_STAND_IN_CACHE", usual);
    mkdir(folder.c_str(), 0777);
    return folder;
}

/// The source with a mistake in it, if the environment wants one: REPLACE, which must be there once, becomes BY. None if it is not.
bool plant_mistake(std::string& source) {
    const std::string old = from_environment("FINESCALE_STAND_IN_REPLACE", "");
    if (old.empty()) {
        return true;
    }
    const size_t at = source.find(old);
    if (at == std::string::npos || source.find(old, at + 1) != std::string::npos) {
        return false;
    }
    source.replace(at, old.size(), from_environment("FINESCALE_STAND_IN_BY", ""));
    return true;
}

std::string hash(const std::string& text) {
    // Two FNV-1a sums with different starts: 128 bits together.
    uint64_t sums[2] = {0xCBF29CE484222325, 0x84222325CBF29CE4};
    for (const char c : text) {
        for (uint64_t& sum : sums) {
            sum = (sum ^ static_cast<unsigned char>(c)) * 0x100000001B3;
        }
        sums[1] = (sums[1] << 7) | (sums[1] >> 57);
    }
    char digits[33];
    snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(sums[0]), static_cast<unsigned long long>(sums[1]));
    return digits;
}

/// The source with spaces in place of comments and of what stands in quotes; every place stays where it is.
std::string without_comments(const std::string& source) {
    std::string bare = source;
    for (size_t i = 0; i < bare.size();) {
        size_t end = i;
        if (bare.compare(i, 3, "\"C\"") == 0) {
            // The quotes of a linkage are looked for later.
            i += 3;
            continue;
        }
        if (bare.compare(i, 2, "//") == 0) {
            end = std::min(bare.find('\n', i), bare.size());
        } else if (bare.compare(i, 2, "/*") == 0) {
            end = std::min(bare.find("*/", i + 2), bare.size() - 2) + 2;
        } else if (bare[i] == '"') {
            end = i + 1;
            while (end < bare.size() && bare[end] != '"') {
                end += bare[end] == '\\' ? 2 : 1;
            }
            end = std::min(end + 1, bare.size());
        }
        for (size_t k = i; k < end; k++) {
            bare[k] = bare[k] == '\n' ? '\n' : ' ';
        }
        i = std::max(end, i + 1);
    }
    return bare;
}

struct KernelName {
    std::string name, max_threads;
};

/// The kernels that a card could find by their plain name: `extern "C" __global__ void name(`.
std::vector<KernelName> find_kernels(const std::string& source) {
    const std::string bare = without_comments(source), word = "__global__", bounds = "__launch_bounds__";
    std::vector<KernelName> found;
    for (size_t at = bare.find(word); at != std::string::npos; at = bare.find(word, at + 1)) {
        const size_t before = bare.find_last_not_of(" \t\n", at - 1);
        if (at == 0 || before == std::string::npos || before < 2 || bare.compare(before - 2, 3, "\"C\"") != 0) {
            continue;
        }
        KernelName kernel = {"", "1024"};
        size_t open = bare.find('(', at);
        const size_t bounds_at = bare.find(bounds, at);
        if (bounds_at < open) {
            size_t close = open;
            for (int depth = 0; close < bare.size(); close++) {
                depth += bare[close] == '(' ? 1 : bare[close] == ')' ? -1 : 0;
                if (depth == 0 || (depth == 1 && bare[close] == ',')) {
                    break;
                }
            }
            kernel.max_threads = bare.substr(open + 1, close - open - 1);
            open = bare.find('(', bare.find(')', close) + 1);
        }
        if (open == std::string::npos) {
            continue;
        }
        const size_t last = bare.find_last_not_of(" \t\n", open - 1);
        size_t first = last;
        while (first > 0 && (isalnum(static_cast<unsigned char>(bare[first - 1])) || bare[first - 1] == '_')) {
            first--;
        }
        kernel.name = bare.substr(first, last - first + 1);
        found.push_back(kernel);
    }
    return found;
}

std::string whole_source(const Program& program) {
    std::stringstream text;
    text << "#include \"device.h\"\n#line 1 \"" << program.name << "\"\n" << program.source << "\n#line 1 \"launchers\"\n";
    for (const KernelName& kernel : find_kernels(program.source)) {
        text << "extern \"C\" { extern __attribute__((visibility(\"default\"))) const stand_in::Kernel stand_in_kernel_" << kernel.name
             << " = stand_in::describe<" << kernel.name << ">(" << kernel.name << ", (" << kernel.max_threads << ")); }\n";
    }
    return text.str();
}

bool starts_with(const std::string& text, const std::string& start) { return text.compare(0, start.size(), start) == 0; }

/// Turns NVRTC's options into g++'s; false for one that NVRTC does not know either.
bool translate(const std::vector<std::string>& options, std::vector<std::string>& flags) {
    // A card joins products and sums unless told not to; the last flag counts.
    if (__builtin_cpu_supports("fma")) {
        flags.insert(flags.end(), {"-mfma", "-ffp-contract=fast"});
    }
    static const char* const without_effect[] = {
        "--gpu-architecture=", "-arch=", "--ftz=", "-ftz=", "--prec-sqrt=", "--prec-div=", "--maxrregcount=", "-maxrregcount=",
        "--use_fast_math", "-use_fast_math", "--std=c++17", "-std=c++17", "--device-debug", "-G", "--generate-line-info",
        "-lineinfo", "--extra-device-vectorization", "-default-device", "--device-int128", "-w", "--disable-warnings",
        "--restrict", "--fmad=true", "-fmad=true", "--ptxas-options", "--dopt=",
    };
    for (size_t i = 0; i < options.size(); i++) {
        const std::string& option = options[i];
        bool known = false;
        if (option == "--fmad=false" || option == "-fmad=false") {
            flags.push_back("-ffp-contract=off");
            known = true;
        } else if (starts_with(option, "-D") || starts_with(option, "-U") || starts_with(option, "-I")) {
            flags.push_back(option);
            known = true;
        } else if (starts_with(option, "--define-macro=")) {
            flags.push_back("-D" + option.substr(15));
            known = true;
        } else if (starts_with(option, "--include-path=")) {
            flags.push_back("-I" + option.substr(15));
            known = true;
        }
        for (const char* start : without_effect) {
            known = known || starts_with(option, start);
        }
        if (!known) {
            return false;
        }
    }
    return true;
}

/// The architecture asked for, as in compute_80; NVRTC 13 takes 75 if none is.
int architecture(const std::vector<std::string>& options) {
    for (const std::string& option : options) {
        const size_t digits = option.find('_', option.find('='));
        if ((starts_with(option, "--gpu-architecture=") || starts_with(option, "-arch=")) && digits != std::string::npos) {
            return atoi(option.c_str() + digits + 1);
        }
    }
    return 75;
}

/// Runs a command with its output in a file; true if it ended well.
bool run(const std::vector<std::string>& command, const std::string& output) {
    std::vector<char*> arguments;
    for (const std::string& part : command) {
        arguments.push_back(const_cast<char*>(part.c_str()));
    }
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    pid_t child = 0;
    int status = -1;
    const int failed = posix_spawnp(&child, arguments[0], &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    return failed == 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

Result compile(Program& program, const std::vector<std::string>& options) {
    std::vector<std::string> flags = {
        "-O2", "-fPIC", "-std=c++17", "-w", "-fvisibility=hidden", "-fno-strict-aliasing", "-fno-math-errno", "-fno-exceptions", "-fno-rtti",
        // Local memory grows page by page, so that too much of it meets the guard page.
        "-fstack-clash-protection",
        // Only lines, for the messages that name an instruction.
        "-g1",
        "-fsanitize=signed-integer-overflow,alignment,shift,bounds,integer-divide-by-zero,float-cast-overflow",
        "-fno-sanitize-recover=all"};
    if (from_environment("FINESCALE_STAND_IN_RACES", "0") == "1") {
        flags.insert(flags.end(), {"-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"});
    }
    if (!translate(options, flags)) {
        program.log = "an option that NVRTC does not know";
        return INVALID_OPTION;
    }
    const std::string arch = std::to_string(architecture(options));
    flags.push_back("-D__CUDA_ARCH__=" + arch + "0");
    const std::string headers = header_folder(), source = whole_source(program);
    std::string everything = source;
    for (const char* header : {"/device.h", "/device_warp.h", "/device_faults.h", "/kernel_interface.h"}) {
        everything += read_file(headers + header);
    }
    for (const std::string& flag : flags) {
        everything += flag + "\n";
    }
    const std::string base = cache_folder() + "/" + hash(everything), library = base + ".so";
    program.ptx = "// cuda stand-in\n" + library + "\n// compute_" + arch + "\n";
    if (access(library.c_str(), R_OK) == 0) {
        return SUCCESS;
    }
    // Names of this process and program only, and a rename at the end: others may compile the same at the same time.
    std::stringstream own;
    own << base << "." << getpid() << "." << &program;
    const std::string cpp = own.str() + ".cpp", object = own.str() + ".o", output = own.str() + ".log", made = own.str() + ".so";
    std::ofstream(cpp) << source;
    std::vector<std::string> command = {from_environment("FINESCALE_STAND_IN_COMPILER", "g++")};
    command.insert(command.end(), flags.begin(), flags.end());
    command.insert(command.end(), {"-I" + headers, "-c", cpp, "-o", object});
    // Linked by itself: with the checks among the flags g++ would add its own library for them.
    const bool worked = run(command, output) && run({command[0], "-shared", object, "-o", made}, output) &&
                        rename(made.c_str(), library.c_str()) == 0;
    program.log = read_file(output);
    for (const std::string& file : {cpp, object, output, made}) {
        unlink(file.c_str());
    }
    return worked ? SUCCESS : COMPILATION;
}

Result copy_out(const std::string& text, char* target) {
    memcpy(target, text.c_str(), text.size() + 1);
    return SUCCESS;
}

}  // namespace

extern "C" {

Result nvrtcVersion(int* major, int* minor) {
    *major = 13;
    *minor = 0;
    return SUCCESS;
}

const char* nvrtcGetErrorString(Result result) {
    switch (result) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION: return "NVRTC_ERROR_COMPILATION";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

Result nvrtcCreateProgram(Program** program, const char* source, const char* name, int headers, const char* const*, const char* const*) {
    if (program == nullptr || source == nullptr || headers != 0) {
        return INVALID_INPUT;
    }
    std::string text = source;
    if (!plant_mistake(text)) {
        return INVALID_INPUT;
    }
    *program = new Program{text, name == nullptr ? "default_program" : name, "", ""};
    return SUCCESS;
}

Result nvrtcDestroyProgram(Program** program) {
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

Result nvrtcCompileProgram(Program* program, int count, const char* const* options) {
    return program == nullptr ? INVALID_PROGRAM : compile(*program, std::vector<std::string>(options, options + count));
}

Result nvrtcGetPTXSize(Program* program, size_t* size) {
    *size = program->ptx.size() + 1;
    return SUCCESS;
}

Result nvrtcGetPTX(Program* program, char* ptx) { return copy_out(program->ptx, ptx); }
Result nvrtcGetCUBINSize(Program* program, size_t* size) { return nvrtcGetPTXSize(program, size); }
Result nvrtcGetCUBIN(Program* program, char* cubin) { return copy_out(program->ptx, cubin); }

Result nvrtcGetProgramLogSize(Program* program, size_t* size) {
    *size = program->log.size() + 1;
    return SUCCESS;
}

Result nvrtcGetProgramLog(Program* program, char* log) { return copy_out(program->log, log); }

}  // extern "C"
