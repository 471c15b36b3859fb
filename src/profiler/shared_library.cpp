#include "profiler/shared_library.h"

#include <dlfcn.h>

#include "base/error.h"

namespace qvl {

SharedLibrary::SharedLibrary(const std::filesystem::path& name) {
  handle_ = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle_ != nullptr) return;
  const char* reason = ::dlerror();
  problem_ = printable(reason != nullptr ? reason : "cannot be opened", 400);
}

SharedLibrary::~SharedLibrary() {
  if (handle_ != nullptr) ::dlclose(handle_);
}

void* SharedLibrary::symbol(const char* name) const {
  return handle_ != nullptr ? ::dlsym(handle_, name) : nullptr;
}

}  // namespace qvl
