// Axios as far as the published program uses it, so that the test needs no package.
module.exports = {
  create: ({ baseURL, headers }) => ({
    get: async (path, { params = {} } = {}) => {
      const query = new URLSearchParams(params).toString();
      const accept = { Accept: "application/json, text/plain, */*" };
      const response = await fetch(baseURL + path + (query && `?${query}`), { headers: { ...accept, ...headers } });
      if (!response.ok) throw new Error(`Request failed with status code ${response.status}`);
      return { data: await response.json() };
    },
  }),
};
