/** Users, tokens and connections: what their pages change. */

import { api, seg } from "./client";
import type { ApiToken, Connection, ConnectionTest, Role, User } from "./types";

export const addUser = (body: { name: string; role: Role; password?: string }) =>
  api.post<User>("/users", body);
export const changeUser = (
  name: string,
  body: { role?: Role; disabled?: boolean; password?: string },
) => api.patch<User>(`/users/${seg(name)}`, body);
export const dropUser = (name: string) => api.delete<void>(`/users/${seg(name)}`);

export interface NewToken {
  name: string;
  role: Role;
  scopes?: string[];
  expires_in_seconds?: number;
}

export const addToken = (body: NewToken) => api.post<ApiToken>("/tokens", body);
export const dropToken = (id: string) => api.delete<void>(`/tokens/${seg(id)}`);

export const putConnection = (
  name: string,
  body: { kind: string; fields: Record<string, unknown>; reason?: string },
) => api.put<Connection>(`/connections/${seg(name)}`, body);
export const dropConnection = (name: string) => api.delete<void>(`/connections/${seg(name)}`);
export const testConnection = (name: string) =>
  api.post<ConnectionTest>(`/connections/${seg(name)}/test`);
