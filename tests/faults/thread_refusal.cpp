#include "thread_refusal.h"

#include <dlfcn.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>
#include <cstring>

namespace qvl::faults {
namespace {

std::atomic<int> asked{0}, refused_at{0};  // refused_at = 0: none
std::atomic<bool> for_ever{false};

using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

Create real_create() {
  void* const found = ::dlsym(RTLD_NEXT, "pthread_create");
  Create create = nullptr;
  std::memcpy(&create, &found, sizeof create);
  return create;
}

}  // namespace

void refuse_threads(int k, Refusing refusing) {
  asked = 0;
  for_ever = refusing == Refusing::from_then_on;
  refused_at = k;
}

int allow_threads() {
  refused_at = 0;
  return asked;
}

}  // namespace qvl::faults

// Stands before the one of the C library, also for std::thread.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                              void* argument) {
  using namespace qvl::faults;
  static const Create create = real_create();
  const int number = ++asked, refused = refused_at;
  if (refused != 0 && (number == refused || (for_ever && number > refused))) return EAGAIN;
  return create(thread, attributes, body, argument);
}
