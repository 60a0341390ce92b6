"""The course CS231n's API, module by module under the course's names."""
