"""Problems with known answers, and the promises that every backend is tested for."""
