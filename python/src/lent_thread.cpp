#include "lent_thread.h"

#include <string>

#include "qvl/error.h"

namespace qvl::python {
namespace {

thread_local bool lent = false;

}  // namespace

LentThread::Mark::Mark() : before(lent) { lent = lent || PyGILState_GetThisThreadState() == nullptr; }

LentThread::Mark::~Mark() { lent = before; }

bool LentThread::here() { return lent; }

void LentThread::refuse(const char* what) {
  if (lent)
    throw Error(ErrorCode::environment, std::string(what) + ": a pipeline's thread cannot wait for it");
}

}  // namespace qvl::python
