/** Grave deeds ask for the password once more; what was begun goes on by itself afterwards. */
import { Button, PasswordInput, TextInput } from "@mantine/core";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api, codeOf, placed } from "../client/api";
import { Failure, Form } from "../ui/parts";

export function Confirm({ onConfirmed }: { onConfirmed: () => void }) {
  const [password, setPassword] = useState("");
  const [code, setCode] = useState("");
  const confirm = api.useMutation("post", "/api/v1/session/confirm", { onSuccess: onConfirmed });
  const { at, rest } = placed(confirm.error, ["password", "code"]);
  return (
    <Form error={confirm.error} onSend={() => confirm.mutate({ body: { password, code } })}>
      <PasswordInput label="Your password, once more" value={password} onChange={(e) => setPassword(e.currentTarget.value)} error={at.password} required autoFocus />
      <TextInput label="Code, if you have an authenticator" inputMode="numeric" value={code} onChange={(e) => setCode(e.currentTarget.value)} error={at.code} />
      <Failure error={rest} />
      <Button type="submit" variant="light" loading={confirm.isPending}>
        Confirm
      </Button>
    </Form>
  );
}

/** Show why something failed, or ask for the password where that is all that is missing. */
export function Missing({ error, again }: { error: unknown; again: () => void }) {
  if (!error) return null;
  return codeOf(error) === "confirm" ? <Confirm onConfirmed={again} /> : <Failure error={error} />;
}

/** What follows a deed that is done: all is read anew, and it is told. */
export function useDone(text: string) {
  const queries = useQueryClient();
  return {
    onSuccess: () => {
      void queries.invalidateQueries();
      notifications.show({ message: text });
    },
  };
}
